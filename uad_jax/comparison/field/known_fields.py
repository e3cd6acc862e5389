"""Tests of the field on healthy scans that are deformed by known fields, and by age.

A gate must register normal variability as well as no gate does: the endpoint error of
the field, the Dice of inflated ventricles, and the openness of the gate in the healthy.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import ndimage, stats

from uad_jax.comparison.field.heads import Heads, Model, inferred, scans
from uad_jax.data.preprocessing.tissue_classes import CLASSES, VENTRICLE
from uad_jax.evaluation import bootstrap, registration_quality
from uad_jax.evaluation.summary import plain
from uad_jax.registration import flow
from uad_jax.registration.warp import warp

SIZES = (1.0, 2.0, 3.0)
"""Largest displacements, in voxels, of the random fields and of the inflations."""

SMOOTH = 5.0
"""Standard deviation in voxels of the noise that random fields are smoothed from."""

REACH = 3.0
"""Distance in voxels from the ventricles within which an inflation acts."""

HEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Heights of the gate for the dose response."""

OTHER = {'uniform': {'open': 0.0}, 'gated': {'open': 1.0}}
"""Entries of the batch of the two fields that are compared."""


def random_fields(heads: Heads, size: float, seed: int = 0) -> np.ndarray:
  """Draws a smooth diffeomorphism for each record.

  Args:
    heads: Records.
    size: Largest velocity, in voxels.
    seed: Seed of the noise.

  Returns:
    Displacements [n, *S, d] in voxels.
  """
  random = np.random.default_rng(seed)
  shape = heads.arrays['mask'].shape[:-1]
  noise = random.standard_normal((*shape, len(shape) - 1), np.float32)
  velocity = ndimage.gaussian_filter(noise, (0, *[SMOOTH] * (len(shape) - 1), 0))
  longest = np.linalg.norm(velocity, axis=-1).reshape(len(velocity), -1).max(1)
  scale = size / longest.reshape(-1, *[1] * len(shape))
  return np.asarray(flow.integrate(jnp.asarray(velocity * scale)))


def labelled(heads: Heads) -> bool:
  """Whether the ventricles of any record are labelled."""
  return 'labels' in heads.arrays and bool((heads.arrays['labels'] == VENTRICLE).any())


def inflations(heads: Heads, size: float) -> np.ndarray:
  """Makes for each record the diffeomorphism that inflates its ventricles.

  The velocity points to the ventricles, as images are sampled at p + u(p), and falls
  off with the distance d to their surface as exp(-(d / REACH)^2).

  Args:
    heads: Records with 'labels'.
    size: Largest velocity, in voxels.

  Returns:
    Displacements [n, *S, d] in voxels.
  """
  fields = []
  for labels in heads.arrays['labels'][..., 0]:
    inside = labels == VENTRICLE
    if not inside.any():
      fields.append(np.zeros((*labels.shape, labels.ndim), np.float32))
      continue
    outer, inner = (ndimage.distance_transform_edt(part) for part in (~inside, inside))
    signed = ndimage.gaussian_filter(outer - inner, 1.0)
    slope = np.stack(np.gradient(signed), -1)
    length = np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-6)
    weight = np.exp(-((signed / REACH) ** 2))[..., None]
    fields.append(np.float32(-size * weight * slope / length))
  return np.asarray(flow.integrate(jnp.asarray(np.stack(fields))))


def deformed(heads: Heads, field: np.ndarray) -> Heads:
  """Warps the images, masks and labels of records by displacements [n, *S, d]."""
  orders = {'image': 'linear', 'mask': 'nearest', 'labels': 'nearest'}
  moved = {
    name: np.asarray(
      warp(jnp.asarray(heads.arrays[name], jnp.float32), jnp.asarray(field), order)
    ).astype(heads.arrays[name].dtype)
    for name, order in orders.items()
    if name in heads.arrays
  }
  return heads._replace(arrays=heads.arrays | moved)


def measure(model: Model, heads: Heads) -> Iterator[dict[str, Any]]:
  """Measures the uniform and the gated field on healthy scans after known fields.

  A scan x o psi has the field u of x followed by psi, `flow.compose(u, psi)`; the
  endpoint error is the mean distance from it within the brain, in voxels.

  Args:
    model: Trained method.
    heads: Healthy records.

  Yields:
    For each kind of field, size and row: 'endpoint' and 'gate' (its mean in the brain)
    with intervals over subjects; with labels also 'ventricle_dice', and 'growth', the
    ratio of the volumes of all ventricles.
  """
  kinds = {'random': random_fields}
  if labelled(heads):
    kinds['inflated ventricles'] = inflations
  before = {name: inferred(model, heads, ask) for name, ask in OTHER.items()}
  for kind, make in kinds.items():
    for size in SIZES:
      field = make(heads, size)
      moved = deformed(heads, field)
      for name, ask in OTHER.items():
        after = inferred(model, moved, ask)
        expected = np.asarray(
          flow.compose(jnp.asarray(before[name]['displacement']), jnp.asarray(field))
        )
        brain = moved.arrays['mask'][..., 0] > 0
        error = np.linalg.norm(after['displacement'] - expected, axis=-1)
        yield {
          'kind': kind,
          'size': size,
          'row': name,
          'endpoint': _over_subjects(error, brain, heads),
          'gate': _over_subjects(after['gate'][..., 0], brain, heads),
        } | (_ventricles(moved, heads, after) if labelled(heads) else {})


def dose_response(model: Model, heads: Heads) -> list[dict[str, Any]]:
  """Measures the strain in lesions under gates of several heights.

  Args:
    model: Trained method.
    heads: Records with lesions.

  Returns:
    For each height a of the gate a L, L the lesion mask, 'height' and 'strain', the
    mean ||grad u||_F in the lesions, with its interval over subjects.
  """
  truth = heads.lesion.astype(np.float32)
  inside = truth[..., 0] > 0
  return [
    {
      'height': height,
      'strain': _over_subjects(
        inferred(model, heads, {'hidden': height * truth})['strain'], inside, heads
      ),
    }
    for height in HEIGHTS
  ]


def by_age(model: Model, heads: Heads) -> dict[str, Any]:
  """Computes how the gate and the residual beside the ventricles change with age.

  Args:
    model: Trained method.
    heads: Healthy records with 'age' and 'labels'.

  Returns:
    'subjects', and by quantity and row the rank correlation with age, with its 95 %
    interval over subjects; {} without ages or labels.
  """
  age = np.asarray(heads.arrays.get('age', np.nan * np.ones(len(heads.names))), float)
  known = np.isfinite(age) & (age > 0)
  subjects = np.unique(heads.subjects[known])
  if not labelled(heads) or len(subjects) < 8:
    return {}
  heads, age = heads.only(known), age[known]
  age = np.array([age[heads.subjects == name][0] for name in subjects])
  table: dict[str, Any] = {'subjects': len(subjects)}
  for name, ask in OTHER.items():
    outputs = inferred(model, heads, ask)
    image, brain = heads.arrays['image'], heads.arrays['mask'][..., 0] > 0
    rims = [
      registration_quality.dilate(labels == VENTRICLE, False, 2) & inside
      for labels, inside in zip(heads.arrays['labels'][..., 0], brain, strict=True)
    ]
    residual = np.abs(image - outputs['reconstruction'])[..., 0]
    table[name] = {
      'residual at the ventricles': _correlation(
        _means(residual, np.stack(rims), heads), age
      ),
      'gate': _correlation(_means(outputs['gate'][..., 0], brain, heads), age),
    }
  return table


def _ventricles(moved: Heads, heads: Heads, after: Mapping) -> dict[str, Any]:
  """Dice of the ventricles after registration, and how much they grew."""
  white = CLASSES.index('white')
  arrays = {name: after[name] for name in ('prior', 'reconstruction', 'displacement')}
  arrays |= {name: after[name] for name in ('strain', 'folded')}
  plainly = {k: v for k, v in moved.arrays.items() if k not in ('lesion', 'twin')}
  dice = [
    registration_quality.measure(scan.arrays, scan.planar, VENTRICLE, white)
    for scan in scans(moved._replace(arrays=plainly), arrays)
  ]
  volumes = [(h.arrays['labels'] == VENTRICLE).sum() for h in (moved, heads)]
  dice = [entry.get('ventricle_dice', np.nan) for entry in dice]
  return {
    'ventricle_dice': plain(bootstrap.mean_of(np.array(dice))),
    'growth': float(volumes[0] / max(volumes[1], 1)),
  }


def _means(values: np.ndarray, where: np.ndarray, heads: Heads) -> np.ndarray:
  """Means of voxels [n, *S] by subject, in the order of names; NaN of no voxels."""
  means = []
  for name in np.unique(heads.subjects):
    rows = heads.subjects == name
    inside = values[rows][where[rows]]
    means.append(inside.mean() if inside.size else np.nan)
  return np.array(means)


def _over_subjects(values: np.ndarray, where: np.ndarray, heads: Heads) -> dict:
  """Mean over the subjects of their means, with its interval."""
  means = _means(values, where, heads)
  return plain(bootstrap.mean_of(means[np.isfinite(means)]))


def _correlation(values: np.ndarray, age: np.ndarray) -> dict[str, Any]:
  """Spearman's rank correlation with its interval; undefined for constants."""
  defined = np.isfinite(values)
  values, age = values[defined], age[defined]
  if len(age) < 3 or np.ptp(values) == 0:
    return plain(bootstrap.Interval(np.nan, np.nan, np.nan))
  random = np.random.default_rng(0)
  drawn = random.integers(len(age), size=(1000, len(age)))
  draws = np.array([stats.spearmanr(values[i], age[i])[0] for i in drawn])
  value = float(stats.spearmanr(values, age)[0])
  return plain(bootstrap.percentiles(value, draws))
