"""A run on 2-D images: trained on a folder of them, and applied to other ones."""

import csv

import numpy as np
import pytest
from PIL import Image

from tests.data import pictures
from uad_jax import base_config, predict, run_folder
from uad_jax.data.preprocessing import picture
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.prediction import picture_files
from uad_jax.prediction.batch import Batch
from uad_jax.prediction.decision import Decision
from uad_jax.prediction.plan import plan, search, takes_pictures
from uad_jax.trained_run import load


@pytest.fixture(scope='module')
def world(tmp_path_factory):
  """A folder of pictures, and a finished run of the atlas on it."""
  root = tmp_path_factory.mktemp('pictures')
  pictures.stroke(root / 'source')
  config = base_config.get_config('images')
  config.data.update(source=str(root / 'source'), dir=str(root / 'data'))
  config.data.job.update(shape=(32, 32), spacing=1.5, intensity='robust')
  config.data.update(polarity='bright', selection='val_lesion')
  config.method.update(name='atlas', bins=1)
  config.scores.update(
    standardised=dict(scorer='standardised'), residual=dict(scorer='residual')
  )
  config.batch_size, config.steps, config.resamples = 4, (2,), 20
  text = run_folder.run(config, str(root / 'run'))
  return root / 'source', root / 'run', text


def test_the_job_finds_the_lesions_of_a_folder_of_pictures(world):
  _, folder, text = world
  assert 'standardised' in text and (folder / 'report.html').is_file()
  assert takes_pictures(folder)


def test_a_picture_gets_its_maps_on_its_own_pixels(world, tmp_path):
  source, folder, _ = world
  scan = source / 'test/stroke/sub-6.png'
  run = load(folder)
  batch = Batch(run, tmp_path, Decision('5', None), keep_going=False)
  tasks = plan(search(str(scan), pictures=True), tmp_path)
  assert batch.predict(tasks, 1).predicted == 1
  truth = np.asarray(Image.open(source / 'ground_truth/test/stroke/sub-6_mask.png')) > 0
  anomaly = np.asarray(Image.open(tmp_path / 'sub-6_anomaly.tiff'))
  lesion = np.asarray(Image.open(tmp_path / 'sub-6_lesion.png'))
  assert anomaly.dtype == np.float32 and anomaly.shape == lesion.shape == truth.shape
  assert {*np.unique(lesion)} <= {0, 255}
  assert truth[np.unravel_index(anomaly.argmax(), truth.shape)]
  assert np.asarray(Image.open(tmp_path / 'sub-6_overlay.png')).shape == (40, 100, 3)
  assert (tmp_path / 'sub-6.json').is_file()
  with (tmp_path / 'scans.csv').open() as file:
    (row,) = csv.DictReader(file)
  assert row['scan'] == 'sub-6.png' and row['status'] == 'done'
  # the function of the API gives the same map, as a volume of one slice
  with pytest.warns(UserWarning, match='of the brain is at or above the threshold'):
    prediction = predict.predict(scan, run, percent='5')
  np.testing.assert_array_equal(picture.from_volume(prediction.anomaly), anomaly)
  # its own results are not taken for pictures to predict
  assert search(str(source / 'test/stroke'), pictures=True).names == [
    'sub-6.png',
    'sub-7.png',
  ]
  with pytest.raises(FileNotFoundError, match='besides results of predict'):
    search(str(tmp_path), pictures=True)


def test_the_masks_of_a_tree_are_not_predicted(world):
  source, _, _ = world
  names = search(str(source), pictures=True).names
  assert len(names) == 7 and not [n for n in names if 'ground_truth' in n]


def test_a_volume_is_refused_by_a_run_on_pictures(world, tmp_path):
  path = tmp_path / 'head.nii.gz'
  path.write_bytes(b'')
  with pytest.raises(BadScan, match='head.nii.gz is not a picture'):
    predict.predict(path, world[1])


def test_the_overlay_outlines_what_is_marked():
  grey = np.tile(np.arange(20.0), (20, 1))
  anomaly = np.where(grey > 15, 2.0, 0.0)
  lesion = anomaly > 1
  shown = picture_files.overlay(grey, anomaly, lesion, 1.0)
  left, right = shown[:, :20], shown[:, 20 + picture_files.MARGIN :]
  np.testing.assert_array_equal(left[:, :15], right[:, :15])
  assert (right[0, 16] == picture_files.OUTLINE).all()
  assert (right[10, 18] != left[10, 18]).any()
