"""One-class digits: does each detector work as published? Writes docs/digits.md.

  python -m benchmarks.digits [--rows=knn,lsa] [--seeds=0,1,2] [--render]

The images are scikit-learn's digits (8 x 8, 16 grey levels, 1 797 images), which come
with it. Protocol of Ruff et al. 2018 and their successors: each digit in turn is the
normal class. Half of its images are for the training; the other half and all images of
the other digits are for the test. The table has the AUROC of other digits against the
normal one, its mean over the ten digits and the smallest; and the published mean on
MNIST, where 28 x 28 pixels and 6 000 images a digit make another task: an order of
magnitude, not a goal. Results are kept in docs/digits.json; none is computed twice.

Detectors see the 64 intensities, in units of their deviations. Methods see images of
8 x 8 whose every pixel is brain; their score is the mean of a map, or minus the
log-density of the image.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from benchmarks.digit_rows import METHODS, OPTIONS, PUBLISHED
from benchmarks.kept_results import command
from benchmarks.small_training import Training, batch_of, training_of
from uad_jax.detectors.catalogue import DETECTORS
from uad_jax.registry import named

BATCH = 32

ROWS = (*sorted(DETECTORS), *METHODS)
"""Names of the rows."""


class Split(NamedTuple):
  """Images of a task.

  Attributes:
    train: Training images of one digit, [N, H, W, 1] in [0, 1].
    test: Test images of all digits.
    other: Whether a test image is another digit.
  """

  train: np.ndarray
  test: np.ndarray
  other: np.ndarray


def digits() -> tuple[np.ndarray, np.ndarray]:
  """Returns the images [1797, 8, 8, 1] in [0, 1] and their digits."""
  data = load_digits()
  return np.float32(data.images[..., None] / 16), data.target


def halves(digit: int, seed: int) -> Split:
  """Splits the images of a digit in halves, see the module docstring."""
  images, targets = digits()
  own = np.flatnonzero(targets == digit)
  own = np.random.default_rng(seed).permutation(own)
  train, rest = np.split(own, [len(own) // 2])
  others = np.flatnonzero(targets != digit)
  test = np.concatenate([rest, others])
  other = np.repeat([False, True], [len(rest), len(others)])
  return Split(images[train], images[test], other)


def by_detector(name: str, train: np.ndarray, test: np.ndarray):
  """Scores of a classic detector for the test images."""
  train, test = (x.reshape(len(x), -1) for x in (train, test))
  mean, deviation = train.mean(0), train.std(0) + 0.05
  detector = DETECTORS[name](**OPTIONS.get(name, {}))
  fitted = detector.fit((train - mean) / deviation)
  return np.asarray(jax.jit(detector.score)(fitted, (test - mean) / deviation))


@functools.cache
def training(name: str, shape: tuple[int, int], times: int) -> Training:
  """Makes the functions of a row, which are compiled once for all digits."""
  row = METHODS[name].longer(times)
  method = named('methods', name)(shape=shape, channels=1, **row.options)
  return training_of(method, row.steps, row.rate)


def by_method(name: str, train: np.ndarray, test: np.ndarray, seed: int, times: int):
  """Scores of a method that is trained on the training images."""
  random = np.random.default_rng(seed)

  def draw():
    return batch_of(train[random.integers(len(train), size=BATCH)])

  outputs_of = training(name, train.shape[1:-1], times).run(draw, jax.random.key(seed))

  def scores_of(images):
    scores = []
    for start in range(0, len(images), 256):
      batch = batch_of(np.resize(images[start : start + 256], (256, *images.shape[1:])))
      scores.append(np.asarray(METHODS[name].score(outputs_of(batch), batch)))
    return np.concatenate(scores)[: len(images)]

  scores = scores_of(test)
  if scores.ndim == 1:
    return scores
  healthy = scores_of(train)
  low, high = healthy.min(0), healthy.max(0)
  return ((scores - low) / (high - low)).sum(1)


def measure(
  name: str,
  seed: int,
  split: Callable[[int, int], Split] = halves,
  times: int = 1,
) -> list[float]:
  """Computes the AUROC of a row on each of the ten digits.

  Args:
    name: Name of the row.
    seed: Seed of the split and of the training.
    split: (digit, seed) -> images.
    times: Factor of the number of training steps.
  """
  values = []
  for digit in range(10):
    train, test, other = split(digit, seed)
    if name in METHODS:
      scores = by_method(name, train, test, seed, times)
    else:
      scores = by_detector(name, train, test)
    values.append(round(float(roc_auc_score(other, scores)), 4))
    print(f'{name} seed {seed} digit {digit}: AUROC {values[-1]:.3f}', flush=True)
  return values


INTRODUCTION = """# One-class digits

Written by `python -m benchmarks.digits --render` from docs/digits.json.
scikit-learn's digits, each in turn the normal class; AUROC of the other digits, mean
over digits and seeds, with the range of the ten digits. The published means are those
of MNIST, a task with larger images and a hundred times as many: an order of magnitude,
not a goal. `python -m benchmarks.mnist --data=PATH` measures MNIST from its files."""


def page(
  kept: dict[str, dict[str, list[float]]], introduction: str = INTRODUCTION
) -> str:
  """Renders the page: an introduction and a table."""
  lines = [
    introduction,
    '',
    '| row | AUROC | smallest | largest | seeds | published on MNIST |',
    '|---|---|---|---|---|---|',
  ]
  done = {name: by_seed for name, by_seed in kept.items() if by_seed}
  rows = sorted(done.items(), key=lambda item: -np.mean(list(item[1].values())))
  for name, by_seed in rows:
    values = np.mean(list(by_seed.values()), 0)
    source = METHODS[name].published if name in METHODS else PUBLISHED[name]
    lines.append(
      f'| {name} | {values.mean():.3f} | {values.min():.3f} | {values.max():.3f} | '
      f'{len(by_seed)} | {source} |'
    )
  return '\n'.join(lines) + '\n'


if __name__ == '__main__':
  command('digits', ROWS, measure, page)
