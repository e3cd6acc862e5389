"""Vectors for the search of a bank: made ones, and features of a trained run."""

import jax
import numpy as np

from uad_jax import experiment, trained_run
from uad_jax.adapt.detector import averaged
from uad_jax.detectors.families.feature_bank import place_weight

FACTORS = 8
"""Dimension of the surface that made vectors lie close to."""


def made(number: int, length: int, seed: int) -> np.ndarray:
  """Makes vectors close to a curved surface, [number, length].

  They are tanh of a random linear map of `FACTORS` normal variables, the same map for
  all seeds, with noise of deviation 0.02.
  """
  shape = FACTORS, length
  weights = np.random.default_rng(0).standard_normal(shape, np.float32)
  random = np.random.default_rng([1, seed])
  factors = random.standard_normal((number, FACTORS), np.float32)
  noise = random.standard_normal((number, length), np.float32)
  return np.tanh(factors @ weights / np.float32(FACTORS**0.5)) + 0.02 * noise


def of_run(folder: str, split: str, number: int) -> np.ndarray:
  """Computes features at brain voxels, averaged over 3 places as by PatchCore.

  Args:
    folder: Run folder of a method with the output `features`.
    split: Name of a data split in the run's config: 'train', 'val' or 'test'.
    number: Largest number of vectors; they are taken in the order of the scans.

  Returns:
    Vectors, at most [number, K].
  """
  run = trained_run.open_run(folder)
  data = experiment.build(run.config, run.card['data'])
  key = experiment.evaluation_key(run.config)
  params, stats = run.state.params, run.state.stats

  @jax.jit
  def features(batch):
    maps = averaged(run.method.infer(params, stats, batch, key)['features'], 3)
    return maps, place_weight(batch, maps.shape[1:-1])[..., 0] > 0.5

  parts, total = [], 0
  for batch in experiment.batches(data, run.config.data[split]):
    arrays = {k: v for k, v in batch.items() if v.dtype.kind in 'fiub'}
    maps, inside = map(np.asarray, features(arrays))
    parts.append(maps[inside])
    total += len(parts[-1])
    if total >= number:
      break
  return np.concatenate(parts)[:number]
