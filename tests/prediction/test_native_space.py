"""Files of a prediction lie where the scan lies, from the command and from Python."""

import nibabel
import numpy as np
import pytest

from tests.small_run import world as world  # the finished run
from uad_jax import predict
from uad_jax.prediction import batch, native_space, plan
from uad_jax.prediction.decision import Decision


@pytest.fixture
def scan(world, tmp_path):
  """A head whose header has codes, units and two different transforms."""
  head = nibabel.load(next(world[1].glob('sub-04/anat/*_T1w.nii*')))
  image = nibabel.Nifti1Image(np.asarray(head.dataobj), head.affine)
  image.set_sform(head.affine, code=4)
  turned = head.affine.copy()
  turned[:3, 3] += 0.25
  image.set_qform(turned, code=2)
  image.header.set_xyzt_units('mm', 'sec')
  image.header.set_dim_info(0, 1, 2)
  nibabel.save(image, tmp_path / 'a.nii.gz')
  return tmp_path / 'a.nii.gz'


def test_a_saved_prediction_has_the_geometry_of_the_commands_files(
  world, scan, tmp_path
):
  labels = next(world[1].glob('derivatives/dlmuse/sub-04/anat/*'))
  run = predict.load(world[2])
  (task,) = plan.plan(plan.search(str(scan)), tmp_path / 'maps')
  work = batch.Batch(run, tmp_path / 'maps', Decision(), False)
  assert work.predict([task._replace(labels=labels)], 1).predicted == 1
  made = predict.predict(scan, run, labels=labels)
  original = nibabel.load(scan).header
  for volume in ('anomaly', 'lesion', 'reconstruction'):
    made.save(str(tmp_path / f'{volume}.nii.gz'), volume)
    saved = nibabel.load(tmp_path / f'{volume}.nii.gz')
    written = nibabel.load(tmp_path / 'maps' / f'a_{volume}.nii.gz')
    assert saved.header == written.header
    np.testing.assert_array_equal(saved.get_fdata(), written.get_fdata())
    for header in (saved.header, made.header):
      assert (header['sform_code'], header['qform_code']) == (4, 2)
      assert header.get_xyzt_units() == ('mm', 'sec')
      assert header.get_dim_info() == (0, 1, 2)
      np.testing.assert_array_equal(header.get_sform(), original.get_sform())
      np.testing.assert_array_equal(header.get_qform(), original.get_qform())
  with pytest.raises(ValueError, match="unknown volume 'gate'; there are anomaly, les"):
    made.save(tmp_path / 'gate.nii.gz', 'gate')


def test_without_a_header_the_affine_is_written(tmp_path):
  affine = np.diag([2.0, 3.0, 1.0, 1.0])
  empty = np.zeros((4, 5, 1), np.float32)
  made = native_space.Prediction(empty, empty, 0.0, {}, affine, 'residual', 1.0, [])
  made.save(tmp_path / 'a.nii')
  np.testing.assert_array_equal(nibabel.load(tmp_path / 'a.nii').affine, affine)
