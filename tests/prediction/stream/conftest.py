"""Fixtures for predictions by a stream: a run, scans to predict, a state."""

import shutil

import numpy as np
import pytest

from tests.data import heads as generated
from tests.prediction.stream.online_run import LABELS, STEMS, SUBJECTS
from tests.prediction.stream.online_run import entries as entries
from tests.small_run import world as world  # the finished run
from uad_jax import trained_run
from uad_jax.prediction import calibration, native_space, online, plan


@pytest.fixture(autouse=True)
def plain_overlay(monkeypatch):
  monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')


@pytest.fixture(scope='module')
def run(world):
  return trained_run.load(world[2])


@pytest.fixture(autouse=True)
def enough(entries, monkeypatch):
  monkeypatch.setattr(calibration, 'validation_scans', lambda config, kept: entries)


@pytest.fixture(scope='module')
def source(world, tmp_path_factory):
  """Three heads, the last one with a large bright lesion."""
  folder = tmp_path_factory.mktemp('stream') / 'heads'
  for subject in SUBJECTS[:2]:
    shutil.copytree(world[1] / subject, folder / subject)
  shutil.copytree(world[1] / 'derivatives', folder / 'derivatives')
  image, labels, affine = generated.head(seed=6)
  centre = np.argwhere(labels == 1)[len(np.argwhere(labels == 1)) // 3]
  axes = np.moveaxis(np.indices(image.shape), 0, -1)
  ball = (((axes - centre) ** 2).sum(-1) <= 7**2) & (labels > 0)
  sick = np.where(ball, 2000, image)
  generated.write(folder / f'{STEMS[2]}.nii.gz', sick, affine, np.int16)
  place = folder / 'derivatives/dlmuse/sub-06/anat/sub-06_dseg.nii.gz'
  generated.write(place, labels.astype(np.uint8), affine)
  return folder


@pytest.fixture(scope='module')
def begun(run, source, entries, tmp_path_factory):
  """State file of a stream that has seen no scan."""
  path = tmp_path_factory.mktemp('begun') / 'state.npz'
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(calibration, 'validation_scans', lambda config, kept: entries)
    tasks = plan.plan(plan.search(str(source)), path.parent / 'out', labels=LABELS)
    with online.opened(str(path), run, tasks, 1):
      pass
  return path


@pytest.fixture
def state(begun, tmp_path):
  return shutil.copy(begun, tmp_path / 'state.npz')
