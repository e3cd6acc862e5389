"""Predictions by a stream, the healthy scans that begin it, and what it leaves."""

import json

import numpy as np
import pytest

from tests.data import heads as generated
from uad_jax.data.cohorts.entry import Entry
from uad_jax.online import state_file
from uad_jax.prediction import (
  batch,
  online,
  online_start,
  plan,
)
from uad_jax.prediction.decision import Decision

LABELS = 'derivatives/dlmuse/{id}/**/*_dseg.nii.gz'
SUBJECTS = ['sub-04', 'sub-05', 'sub-06']
STEMS = [f'{subject}/anat/{subject}_T1w' for subject in SUBJECTS]


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
