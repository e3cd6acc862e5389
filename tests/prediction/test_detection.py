"""Prediction takes the way of the evaluation: the same maps, the same voxels."""

import numpy as np
import pytest

from tests.small_run import world as world  # the finished run
from uad_jax import experiment, inference, trained_run
from uad_jax.data.preprocessing import preprocess
from uad_jax.evaluation import component_masses
from uad_jax.evaluation.measure import detected, scored
from uad_jax.evaluation.postprocess import preset
from uad_jax.prediction import detection, native_space


def files_of(source, subject):
  image = next(source.glob(f'{subject}/anat/*_T1w.nii*'))
  return image, next(source.glob(f'derivatives/dlmuse/{subject}/anat/*'))


@pytest.fixture(scope='module')
def evaluated(world):
  """Scans of the test split as the evaluation infers them, with all scorers."""
  config, _, folder, _ = world
  opened = trained_run.open_run(folder)
  made = experiment.build(config)
  infer = inference.make_infer(opened.method, made.scorers)
  placed = inference.placed(opened.state.params, opened.state.stats)
  batches = experiment.batches(made, config.data.test)
  key = experiment.evaluation_key(config)
  scans = inference.scans_of(batches, 'test', infer, *placed, key, progress=False)
  return {scan.subject: scan for scan in scans}


@pytest.mark.parametrize('scorer', ['residual', 'standardised'])
@pytest.mark.parametrize('subject', ['sub-04', 'sub-05'])
def test_a_test_scan_gets_the_voxels_of_its_evaluation(
  world, evaluated, subject, scorer
):
  _, source, folder, _ = world
  run = trained_run.load(folder, scorer)
  image, labels = files_of(source, subject)
  prepared = preprocess.prepare_scan(image, run.steps, labels=labels)
  for threshold in run.thresholds.values():
    found = detection.detect(prepared, run, threshold)
    scan, chosen = evaluated[subject], list(prepared.slices)
    scores, brain = scored(scan, scorer, run.postprocess)
    marked = detected(scores, brain, threshold, run.postprocess)
    np.testing.assert_array_equal(found.brain[:, :, chosen], brain)
    np.testing.assert_array_equal(found.scores[:, :, chosen][brain], scores[brain])
    np.testing.assert_array_equal(found.marked[:, :, chosen], marked)
    assert found.brain.sum() == brain.sum() and found.marked.sum() == marked.sum()
  assert marked.any()  # else nothing was compared
  np.testing.assert_array_equal(
    found.outputs['reconstruction'][:, :, chosen],
    scan.arrays['reconstruction'][..., 0],
  )


def test_voxels_at_the_threshold_are_marked(world):
  _, source, folder, _ = world
  run = trained_run.load(folder)
  image, labels = files_of(source, 'sub-04')
  prepared = preprocess.prepare_scan(image, run.steps, labels=labels)
  scores = detection.detect(prepared, run, np.inf).scores
  brain = detection.detect(prepared, run, np.inf).brain
  threshold = float(np.sort(scores[brain])[-3])
  found = detection.detect(prepared, run, threshold)
  assert found.marked.sum() >= 3 and found.marked[scores == threshold].all()


def test_every_slice_is_examined_with_the_neighbours_of_the_evaluation(world):
  _, source, folder, _ = world
  run = trained_run.load(folder)._replace(slice_step=2)
  image, labels = files_of(source, 'sub-04')
  prepared = preprocess.prepare_scan(image, run.steps, labels=labels)
  found = detection.detect(prepared, run, run.thresholds['5'])
  plain = detection.detect(prepared, run._replace(slice_step=1), run.thresholds['5'])
  np.testing.assert_array_equal(found.brain, plain.brain)
  assert not np.array_equal(found.scores, plain.scores)
  stacks = detection.stacks(prepared, run)
  assert sorted(sum(stacks, [])) == list(prepared.slices)
  for stack in stacks:
    assert set(np.diff(stack)) <= {2}
    # Oracle: a scan that consists of these slices alone, as the evaluation holds it.
    alone = detection.detect(
      prepared._replace(slices=tuple(stack)), run, run.thresholds['5']
    )
    inside = found.brain[:, :, stack]
    np.testing.assert_array_equal(alone.brain[:, :, stack], inside)
    np.testing.assert_array_equal(
      alone.scores[:, :, stack][inside], found.scores[:, :, stack][inside]
    )
    np.testing.assert_array_equal(alone.marked[:, :, stack], found.marked[:, :, stack])


def prepared_like(volume, spacing=1.0):
  """A scan whose own grid is the prepared one, or finer by `spacing`."""
  shape = tuple(int(n / spacing) for n in volume.shape)
  affine = np.diag([spacing, spacing, spacing, 1.0])
  image = volume[..., None].astype(np.float32)
  ones = np.ones_like(image, np.uint8)
  return preprocess.Prepared(
    image, ones, ones, ones, None, np.eye(4), np.eye(4), shape, affine,
    tuple(range(volume.shape[2])), [],
  )  # fmt: skip


def test_removed_components_stay_removed_on_the_scans_own_grid():
  scores = np.zeros((12, 12, 12), np.float32)
  scores[2:5, 2:5, 2:5] = 1.0  # 27 voxels: stays
  scores[9, 9, 9] = 5.0  # one voxel: the clean-up takes it
  brain = np.ones_like(scores, bool)
  marked = detected(scores, brain, 0.5, preset('default'))
  removed = (scores >= 0.5) & ~marked
  assert marked.sum() == 27 and removed.sum() == 1
  parts = component_masses.measured(scores, marked, 0.5, 1.0)
  found = detection.Detection(scores, brain, marked, removed, {}, parts)
  same = prepared_like(scores)
  anomaly, lesion, inside, numbers = native_space.to_native(found, same, 0.5)
  np.testing.assert_array_equal(anomaly, scores)
  np.testing.assert_array_equal(lesion, marked)
  fine = prepared_like(scores, 0.5)
  anomaly, lesion, inside, numbers = native_space.to_native(found, fine, 0.5)
  assert (anomaly[lesion] >= 0.5).all() and (anomaly[17:20, 17:20, 17:20] > 0.5).any()
  assert lesion[4:9, 4:9, 4:9].all() and not lesion[12:].any()
