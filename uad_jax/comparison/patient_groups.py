"""Functions that divide test patients into groups and measure anomaly maps in each.

The groups are thirds of the patients by lesion volume, by age and by the sharpness of
the scan. docs/runs/SUITE/patients.json keeps these facts, because the data lie only on
the machine that trained.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from uad_jax.comparison.paired_differences import estimate
from uad_jax.evaluation import bootstrap
from uad_jax.evaluation.metrics import POOLED, SUBJECT
from uad_jax.evaluation.sample import Sample, ordered, restrict
from uad_jax.evaluation.scans import Scan, lesion_in
from uad_jax.ops.filters import gaussian_smooth
from uad_jax.report import atomic_files

FACTS = ('lesion volume, ml', 'age, years', 'sharpness')
"""Facts about a test scan by which patients are grouped."""

LEAST = 60
"""Fewest patients with lesions that are divided into groups."""

METRICS = {'auprc': POOLED['auprc'], 'patient_auprc': SUBJECT['auprc']}
"""Metrics of a group: AUPRC of all its voxels together, and the mean of the AUPRC of
its patients."""

Facts = Mapping[str, Mapping[str, float | None]]
"""Facts by subject and by name of the fact (`FACTS`); None if unknown."""


def sharpness(image: np.ndarray, mask: np.ndarray) -> float:
  """Computes how much of the variation within the brain is fine detail.

  It is the standard deviation, over the brain, of the image minus its Gaussian blur
  (standard deviation one voxel, of brain voxels only), divided by the standard
  deviation of the image. Thick or interpolated slices have low values.

  Args:
    image: Prepared slices, or a volume, of one scan [B, *S, C].
    mask: Their brain masks [B, *S, 1].

  Returns:
    A number from 0 on; nan for an image without variation.
  """
  inside = jnp.asarray(mask > 0, jnp.float32)
  weight = jnp.maximum(gaussian_smooth(inside, 1.0), 1e-6)
  blurred = gaussian_smooth(jnp.asarray(image) * inside, 1.0) / weight
  brain = mask[..., 0] > 0
  total = image[brain].std()
  return float((image - np.asarray(blurred))[brain].std() / total) if total else np.nan


def describe(scans: Iterable[Scan]) -> dict[str, dict[str, float | None]]:
  """Returns the facts about each test subject by which patients are grouped.

  Of a subject with several scans the first counts.
  """
  known = {}
  for scan in scans:
    arrays = scan.arrays
    image, mask = (
      np.moveaxis(arrays[name], 2, 0) if scan.planar else arrays[name][None]
      for name in ('image', 'mask')
    )
    volume = lesion_in(arrays).sum() * scan.voxel_ml
    numbers = (volume, scan.age, sharpness(image, mask))
    known.setdefault(
      scan.subject,
      {
        name: round(float(number), 6) if np.isfinite(number) else None
        for name, number in zip(FACTS, numbers, strict=True)
      },
    )
  return known


def write(path: pathlib.Path, digest: str, facts: Facts) -> None:
  """Stores the facts about the test subjects of a data set.

  Args:
    path: File to write, docs/runs/SUITE/patients.json.
    digest: Fingerprint of the data.
    facts: Facts by subject.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = [f'{json.dumps(name)}: {json.dumps(fact)}' for name, fact in facts.items()]
  body = ',\n'.join(lines)
  atomic_files.write_text(
    path, f'{{"data": {json.dumps(digest)}, "patients": {{\n{body}\n}}}}\n'
  )


def read(path: pathlib.Path, digest: str) -> Facts:
  """Reads the facts about the test subjects; none if they are of other data or absent.

  Args:
    path: File that `write` made.
    digest: Fingerprint of the data.
  """
  kept = atomic_files.read_json(path)
  return kept['patients'] if kept.get('data') == digest else {}


def thirds(values: Sequence[float | None]) -> dict[str, np.ndarray]:
  """Divides values into thirds at their tertiles.

  Args:
    values: n numbers; None belongs to no third.

  Returns:
    Bool [n] by description of the third, such as 'up to 1.5', 'up to 4.1' and
    'above 4.1'; empty if fewer than half of the values are known or two tertiles agree.
  """
  numbers = np.array([np.nan if value is None else value for value in values], float)
  known = np.isfinite(numbers)
  if known.sum() < max(3, len(numbers) / 2):
    return {}
  low, high = np.quantile(numbers[known], (1 / 3, 2 / 3))
  if not low < high:
    return {}
  return {
    f'up to {low:.3g}': known & (numbers <= low),
    f'up to {high:.3g}': known & (numbers > low) & (numbers <= high),
    f'above {high:.3g}': known & (numbers > high),
  }


def patients(sample: Sample) -> Sample:
  """Selects the scans with lesions, sorted by name of the subject."""
  return ordered(restrict(sample, sample.diseased))


def draws(sample: Sample, resamples: int = 2000) -> bootstrap.Estimated:
  """Computes `METRICS` of the scans with lesions, with bootstrap resamples of them.

  Args:
    sample: Counts and values of all test scans.
    resamples: Number of resamples.
  """
  part = patients(sample)
  return bootstrap.estimated(METRICS, part, bootstrap.weights(part, resamples, 0))


def measure(
  sample: Sample, facts: Facts, resamples: int = 2000
) -> dict[str, dict[str, dict[str, Any]]]:
  """Measures one scorer in each group of the patients.

  Args:
    sample: Counts and values of all test scans.
    facts: Facts about the subjects, from `describe`.
    resamples: Number of resamples.

  Returns:
    By fact and by third: 'scans', their number, and for each of `METRICS` the
    estimate. Empty if facts are missing or there are fewer than `LEAST` patients.
  """
  part = patients(sample)
  names = [str(name) for name in part.subjects]
  if len(names) < LEAST or not all(name in facts for name in names):
    return {}
  groups = {}
  for fact in FACTS:
    groups[fact] = {}
    for title, rows in thirds([facts[name][fact] for name in names]).items():
      estimated = draws(restrict(part, rows), resamples)
      groups[fact][title] = {
        'scans': int(rows.sum()),
        **{name: estimate(estimated.interval(name)) for name in METRICS},
      }
  return {fact: parts for fact, parts in groups.items() if parts}
