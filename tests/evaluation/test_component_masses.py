"""Component masses of healthy scans, against scipy and loops over components."""

import io

import numpy as np
import pytest
from scipy import ndimage

from uad_jax.evaluation import component_masses, healthy_ranges
from uad_jax.evaluation.postprocess import preset
from uad_jax.evaluation.scans import Scan

SHAPE = (12, 14, 9)


def scan_of(seed, name, subject=None, scorers=('a',)):
  rng = np.random.default_rng(seed)
  brain = np.zeros(SHAPE, bool)
  brain[1:-1, 2:-2, 1:-1] = True
  image = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1)
  maps = {
    f'map/{s}': ndimage.gaussian_filter(rng.random(SHAPE), 1).astype(np.float32)
    for s in scorers
  }
  arrays = {'image': image.astype(np.float32), 'mask': np.float32(brain)} | maps
  arrays = {key: array[..., None] for key, array in arrays.items()}
  return Scan(name, subject or name, 'none', '', 40.0, 0.027, True, arrays)


def masses_by_scipy(scores, brain, threshold, voxel_ml, smallest=0):
  """Oracle: labels, sizes and sums of scipy, component by component."""
  labels, number = ndimage.label((scores >= threshold) & brain, np.ones((3, 3, 3)))
  parts = [labels == k for k in range(1, number + 1)]
  return [
    float((scores[part].astype(np.float64) - threshold).sum() * voxel_ml)
    for part in parts
    if part.sum() >= smallest
  ]


def test_the_mass_is_the_sum_above_the_threshold_times_the_volume():
  scores = np.zeros((8, 8, 8), np.float32)
  scores[1:3, 1:3, 1] = 0.75  # 4 voxels, 0.25 above
  scores[6, 6, 6] = 1.5
  parts = component_masses.measured(scores, scores >= 0.5, 0.5, 2.0)
  assert parts.masses.tolist() == [2.0, 2.0]
  assert parts.labels[1, 1, 1] == 1 and parts.labels[6, 6, 6] == 2
  nothing = component_masses.measured(scores, scores > 9, 9.0, 2.0)
  assert nothing.masses.size == 0 and not nothing.labels.any()


@pytest.mark.parametrize('name, smallest', [('none', 0), ('default', 5)])
def test_the_largest_mass_is_that_after_the_clean_up(name, smallest):
  scan, chain = scan_of(0, 's'), preset(name)
  brain = scan.arrays['mask'][..., 0] > 0
  scores = chain.soft(scan.arrays['map/a'][..., 0], brain)
  limits = {p: float(np.quantile(scores[brain], 1 - p / 100)) for p in (1, 5, 10)}
  limits[0] = 9.0
  masses = component_masses.largest(scores, brain, limits, chain, 0.027)
  for percent, limit in limits.items():
    every = masses_by_scipy(scores, brain, limit, 0.027, smallest)
    assert masses[percent] == pytest.approx(max(every, default=0.0))
  assert masses[0] == 0.0 and masses[10] > masses[1] > 0


def test_maps_are_read_in_the_order_of_their_processing():
  file, chain = io.BytesIO(), preset('median')
  recording = component_masses.recording(chain, file)
  scans = [scan_of(seed, 's') for seed in (1, 2)]
  made = []
  for scan in scans:
    brain = scan.arrays['mask'][..., 0] > 0
    made.append((recording.soft(scan.arrays['map/a'][..., 0], brain), brain))
  file.seek(0)
  for scores, brain in made:
    read, inside = component_masses.read_map(file)
    np.testing.assert_array_equal(inside, brain)
    np.testing.assert_array_equal(read[brain], scores[brain])
    assert (read[~brain] == -np.inf).all()


def test_healthy_scans_are_described_by_masses_and_statistics():
  scans = [
    *(scan_of(seed, f's{seed}', scorers=('a', 'b')) for seed in range(3)),
    scan_of(7, 's0/second', 's0', scorers=('a', 'b')),  # a subject counts once
    scan_of(8, 's1', scorers=('a', 'b')),  # a second stack of slices of a scan
  ]
  chain = preset('default')
  thresholds, described = healthy_ranges.measure(iter(scans), ['a', 'b'], chain)
  assert described['scans'] == 5 and described['stacks'] == 2
  for scorer in ('a', 'b'):
    for percent, threshold in thresholds[scorer].items():
      every = []
      for scan in scans:
        brain = scan.arrays['mask'][..., 0] > 0
        scores = chain.soft(scan.arrays[f'map/{scorer}'][..., 0], brain)
        parts = masses_by_scipy(scores, brain, threshold, 0.027, 5)
        every.append(max(parts, default=0.0))
      expected = [every[0], max(every[1], every[4]), every[2]]
      assert described['masses'][scorer][str(percent)] == pytest.approx(expected)
  inside = [s.arrays['image'][s.arrays['mask'] > 0] for s in scans[:3]]
  assert described['statistics']['brightness'] == pytest.approx(
    [float(np.median(values)) for values in inside], abs=1e-6
  )
  assert all(np.isfinite(v).all() for v in described['statistics'].values())


def test_kept_thresholds_are_those_of_the_masses():
  scans = [scan_of(seed, f's{seed}') for seed in range(2)]
  limits = {'a': {5: 0.55}}
  kept, described = healthy_ranges.measure(scans, ['a'], preset('none'), limits)
  assert kept is limits and [*described['masses']['a']] == ['5']
