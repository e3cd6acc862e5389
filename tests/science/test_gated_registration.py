"""Registering normal variability and not lesions: a toy where the truth is known.

The gate comes from the residual after a stiff pass in units of the healthy deviation.
It must beat every uniform field, and what is not that gate must fail.
"""

import functools

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score

from tests.science import phantom
from uad_jax.ops import filters
from uad_jax.registration import flow, gate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('optimised')]

STIFF, SOFT, SWEEP = 100.0, 1.0, (0.3, 1.0, 3.0, 10.0, 30.0)
SHARE, COUNT = 0.01, 20


@functools.cache
def cohorts():
  """Subjects with lesions, and healthy ones to calibrate on."""
  return phantom.draw(1, COUNT, True), phantom.draw(3, COUNT, False)


def smooth(x):
  return ndimage.gaussian_filter(x, (0, 1, 1, 0))


@functools.cache
def residual(kind):
  """|x - prior| after the stiff pass, smoothed; of other subjects than `deviation`."""
  heads = cohorts()[kind == 'healthy']
  return smooth(np.abs(heads.image - phantom.register(heads, STIFF)[0]))


@functools.cache
def deviation():
  """The healthy deviation after the stiff pass, [80, 80, 1]."""
  heads = phantom.draw(2, COUNT, False)
  square = ((heads.image - phantom.register(heads, STIFF)[0]) ** 2).mean(0)
  return np.sqrt(ndimage.gaussian_filter(square, (1, 1, 0)) + 0.02**2)


def open_where(evidence, healthy, heads):
  """The gate of an evidence, calibrated to a share of the healthy voxels."""
  limit = np.quantile(healthy[cohorts()[1].brain], 1 - SHARE)
  h = 1 / (1 + np.exp(-6 * (evidence / limit - 1)))
  return np.asarray(gate.gate(h.astype(np.float32))) * heads.brain[..., None]


@functools.cache
def gates():
  sick, healthy = cohorts()
  sd = deviation()
  standardised = open_where(residual('sick') / sd, residual('healthy') / sd, sick)
  naive = np.clip((sd - np.quantile(sd, 0.8)) / sd.max() * 4, 0, 1)
  return {
    'standardised': standardised,
    'raw': open_where(residual('sick'), residual('healthy'), sick),
    'aleatoric': np.float32(naive * sick.brain[..., None]),
    'permuted': np.roll(standardised, 1, 0),
    'inverted': (1 - standardised) * sick.brain[..., None],
  }


@functools.cache
def outcome(lambda0, name=None):
  """(mean AP of the residual over subjects, ventricle Dice, field)."""
  sick, _ = cohorts()
  warped, field = phantom.register(sick, lambda0, gates()[name] if name else None)
  score = np.abs(sick.image - warped)[..., 0]
  found = [
    average_precision_score(lesion[brain], value[brain])
    for lesion, value, brain in zip(sick.lesion, score, sick.brain, strict=True)
  ]
  return np.array(found), phantom.ventricle_dice(sick, field), field


def test_the_gated_field_beats_every_uniform_one():
  gated, dice, _ = outcome(SOFT, 'standardised')
  uniform = {value: outcome(value) for value in SWEEP}
  best = max(uniform, key=lambda value: uniform[value][0].mean())
  assert gated.mean() >= uniform[best][0].mean() + 0.03
  assert dice >= uniform[best][1] - 0.02
  assert SWEEP[0] < best < SWEEP[-1]  # the sweep holds its own optimum
  # Over subjects, not only on average.
  resampled = np.random.default_rng(0).integers(0, COUNT, (2000, COUNT))
  difference = (gated - uniform[best][0])[resampled].mean(1)
  assert np.quantile(difference, 0.025) > 0


def test_the_lesion_keeps_its_residual_under_the_gate():
  sick, _ = cohorts()
  strain = {
    name: np.asarray(flow.strain(outcome(SOFT, name)[2]))
    for name in (None, 'standardised')
  }
  inside = {name: value[sick.lesion].mean() for name, value in strain.items()}
  outside = sick.brain & ~sick.lesion
  assert inside['standardised'] < 0.5 * inside[None]
  assert strain['standardised'][outside].mean() > 0.7 * strain[None][outside].mean()


@pytest.mark.parametrize('name', ['raw', 'aleatoric', 'permuted', 'inverted'])
def test_what_is_not_that_gate_does_not_help(name):
  real, dice, _ = outcome(SOFT, 'standardised')
  wrong, wrong_dice, _ = outcome(SOFT, name)
  assert wrong.mean() < outcome(SOFT)[0].mean() + 0.02
  assert wrong.mean() < real.mean() - 0.1
  if name in ('aleatoric', 'inverted'):
    assert wrong_dice < dice - 0.1  # the ventricles are frozen


def test_healthy_subjects_are_registered_as_without_a_gate():
  _, healthy = cohorts()
  sd = deviation()
  g = open_where(residual('healthy') / sd, residual('healthy') / sd, healthy)
  assert g[healthy.brain].mean() < 0.02
  _, gated = phantom.register(healthy, SOFT, g)
  _, free = phantom.register(healthy, SOFT)
  gated, free = (phantom.ventricle_dice(healthy, field) for field in (gated, free))
  assert gated >= free - 0.01


def test_the_wider_the_gate_is_open_the_less_the_lesion_is_strained():
  sick, _ = cohorts()
  shape = filters.dilate(np.float32(sick.lesion[..., None]), 1)
  strains = []
  for amount in (0.0, 0.25, 0.5, 1.0):
    _, field = phantom.register(sick, SOFT, np.asarray(amount * shape))
    strains.append(float(np.asarray(flow.strain(field))[sick.lesion].mean()))
  assert all(b < a for a, b in zip(strains, strains[1:], strict=False)), strains
