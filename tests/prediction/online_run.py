"""Fixtures for predictions by a stream: healthy scans, a state, scans to predict."""

import json
import shutil

import numpy as np
import pytest

from tests.data import heads as generated
from tests.small_run import world as world  # the finished run
from uad_jax import trained_run
from uad_jax.data.cohorts.entry import Entry
from uad_jax.online import state_file
from uad_jax.prediction import (
  batch,
  calibration,
  native_space,
  online,
  online_start,
  plan,
)
from uad_jax.prediction.decision import Decision

LABELS = 'derivatives/dlmuse/{id}/**/*_dseg.nii.gz'
SUBJECTS = ['sub-04', 'sub-05', 'sub-06']
STEMS = [f'{subject}/anat/{subject}_T1w' for subject in SUBJECTS]


@pytest.fixture(autouse=True)
def plain_overlay(monkeypatch):
  monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')


@pytest.fixture(scope='module')
def run(world):
  return trained_run.load(world[2])


@pytest.fixture(scope='module')
def entries(tmp_path_factory):
  """Healthy validation scans with labels; the run itself has one."""
  folder, listed = tmp_path_factory.mktemp('healthy'), []
  for seed in range(9):
    image, labels, affine = generated.head(seed=100 + seed)
    scan = generated.write(folder / f'{seed}.nii', image, affine, np.int16)
    anatomy = labels.astype(np.uint8)
    mask = generated.write(folder / f'{seed}_dseg.nii', anatomy, affine)
    listed.append(Entry(f'val-{seed}', '', scan, labels=mask))
  return listed


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


def predicted(run, source, out, state, answers=(), labels=LABELS, keep_going=False):
  tasks = plan.plan(plan.search(str(source)), out, labels=labels)
  with online.opened(str(state), run, tasks, 1) as session:
    work = batch.Batch(run, out, Decision(), keep_going, session=session)
    work.answer(answers, tasks)
    return work.predict(tasks, 1)


def saved(run, state, masks=True):
  return state_file.read(state, online_start.model_of(run, masks))


def content_of(out, stem):
  return json.loads((out / f'{stem}.json').read_text())


def contents(folder):
  return {path: path.read_bytes() for path in folder.rglob('*.*') if path.is_file()}
