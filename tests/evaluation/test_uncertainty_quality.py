"""Uncertainties against errors on scans whose errors have the predicted law."""

import numpy as np
import pytest

from uad_jax.evaluation import uncertainty_quality as quality
from uad_jax.evaluation.scans import Scan

SHAPE = (40, 40, 6)


def scan(seed, lesion=False, twin=True, factor=1.0, of='reconstruction'):
  """A scan whose error has the predicted deviation times `factor`."""
  rng = np.random.default_rng(seed)
  mask = np.zeros((*SHAPE, 1), np.float32)
  mask[3:-3, 3:-3] = 1
  truth = rng.uniform(0.3, 0.8, (*SHAPE, 1)) * mask
  deviation = np.exp(rng.uniform(-4, -1, (*SHAPE, 1)))
  error = factor * deviation * rng.standard_normal(deviation.shape)
  marks = np.zeros_like(mask)
  if lesion:
    marks[10:18, 10:18, 1:4] = 1
  arrays = {
    'image': truth + 0.5 * marks,
    'mask': mask,
    'lesion': marks,
    'labels': np.where(mask > 0, 1 + (truth > 0.5), 0),
    'reconstruction': truth - error,
    f'{quality.DEVIATION}{of}/NAME': deviation * mask,
  }
  if twin:
    arrays['twin'] = truth
  if of == 'displacement':
    arrays['displacement'] = error * np.ones(2)
    arrays['twin_displacement'] = np.zeros((*SHAPE, 2))
  name = f'sub-{seed}'
  return Scan(name, name, 'none', '', np.nan, 0.01, False, arrays)


def test_names_are_those_of_deviations():
  assert quality.names(scan(0).arrays) == ['reconstruction/NAME']


def test_errors_in_lesions_are_those_to_the_twin():
  parts = quality.voxels(scan(0, lesion=True), 'reconstruction/NAME')
  assert set(parts) == {'healthy', 'lesion'} and len(parts['lesion'].error) == 192
  # Not 0.5, by which the lesion differs from the twin.
  assert parts['lesion'].error.mean() < 0.2
  without = quality.voxels(scan(0, lesion=True, twin=False), 'reconstruction/NAME')
  assert set(without) == {'healthy'}
  assert (parts['healthy'].group > 0).all()


def test_fields_are_compared_with_those_of_the_twin():
  name = 'displacement/NAME'
  parts = quality.voxels(scan(0, lesion=True, of='displacement'), name)
  assert set(parts) == {'healthy', 'lesion'}
  found = quality.compare(scan(0, lesion=True, of='displacement'), {})[name].values
  assert found['ence_healthy'] < 0.2 and found['rank_lesion'] > 0.3
  assert quality.voxels(scan(0, of='displacement'), name) == {}


def test_calibrations_come_from_the_scans_that_were_watched():
  healthy, seen = [scan(i, factor=3.0) for i in range(3)], []
  assert list(quality.watched(iter(healthy), seen)) == healthy
  calibrations = quality.fit(seen)
  name = 'reconstruction/NAME'
  assert set(calibrations[name]) == {'scale', 'group', 'isotonic', 'conformal'}
  test = [quality.compare(scan(i, i > 12, factor=3.0), calibrations) for i in (11, 13)]
  summary = quality.summarise(test, 50, 0)[name]
  metrics = {metric: entry['value'] for metric, entry in summary['metrics'].items()}
  assert metrics['ence_healthy'] == pytest.approx(2.0, rel=0.1)
  for kind in calibrations[name]:
    assert metrics[f'ence_healthy_{kind}'] < 0.15, kind
    assert metrics[f'coverage_error_healthy_{kind}'] < 0.02, kind
  table, curve = summary['reliability'], summary['sparsification']
  ratio = np.array(table['error']) / table['deviation']
  np.testing.assert_allclose(np.average(ratio, weights=table['count']), 3.0, rtol=0.05)
  assert np.all(np.array(curve['error']) >= np.array(curve['oracle']) - 1e-9)
  assert {'rank_healthy', 'rank_lesion', 'ause_lesion'} <= set(metrics)


def test_nothing_without_deviations_or_errors():
  plain = scan(0)
  del plain.arrays[f'{quality.DEVIATION}reconstruction/NAME']
  assert quality.compare(plain, {}) == {} and quality.fit([{}]) == {}
  blind = scan(0)
  del blind.arrays['reconstruction']
  assert quality.compare(blind, {}) == {}
  assert quality.summarise([{}], 10, 0) == {}
