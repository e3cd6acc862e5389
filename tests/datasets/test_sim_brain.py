import dataclasses
import json
import os

import numpy as np
import pytest

from uad_jax.data import manifest, record
from uad_jax.data.simulation.pathology import KINDS
from uad_jax.data.simulation.simulate import Grid
from uad_jax.datasets.sim_brain import sim_brain_dataset_builder as sim_brain

TINY = dict(train=2, val=1, val_sick=1, test=1, sick=1, few=1, shifted=1, workers=1)
DIGEST = 'aee5d28b714b8606c489677ec6fc67883a3debf2ea1ea2098fb416ecd739545a'
"""Digest of the tiny cohort; a change needs a new version of the data set."""


@pytest.fixture(scope='module')
def built(tmp_path_factory):
  """A tiny cohort: 6 mm slices."""
  settings = sim_brain.SimBrainConfig(
    name='tiny', grid=Grid((32, 32, 26), 6.0, (11, 14), 1), **TINY
  )
  # A config of the builder's own class, which TFDS knows only as an object.
  builder = sim_brain.Builder(
    config=settings,
    data_dir=tmp_path_factory.mktemp('sim'),
    file_format='array_record',
  )
  builder.download_and_prepare()
  return builder


@pytest.mark.skipif(
  os.environ.get('OPENBLAS_CORETYPE') != 'Haswell',
  reason='other kernels round otherwise',
)
def test_the_same_cohort_is_made_on_every_machine(built):
  assert built.digest() == DIGEST


def read(builder, split):
  return list(builder.as_data_source(split=split))


def test_splits_share_no_subject_and_hold_what_they_should(built):
  subjects = {
    split: {r['subject'] for r in read(built, split)} for split in built.info.splits
  }
  names = [name for members in subjects.values() for name in members]
  assert len(names) == len(set(names))
  assert set(subjects) == {'train', 'val', 'val_lesion', 'test'} | {
    f'{kind}_{domain}' for kind in ('few_shot', 'test') for domain in 'bcd'
  }
  healthy = [read(built, split) for split in ('train', 'val', 'few_shot_b')]
  assert all(r['lesion'].sum() == 0 for records in healthy for r in records)
  pathologies = {r['pathology'].decode() for r in read(built, 'test')}
  assert pathologies == {'none', *KINDS}
  assert {r['pathology'].decode() for r in read(built, 'val_lesion')} == set(KINDS)
  assert {r['domain'] for r in read(built, 'test_c')} == {b'c'}


def test_records_come_in_order_and_hold_everything(built):
  records = read(built, 'test')
  order = [(r['subject'], int(r['slice'])) for r in records]
  assert [s for _, s in order] == [11, 14] * 6
  first = records[0]
  assert first['image'].shape == (32, 32, 1) and first['velocity'].shape == (32, 32, 3)
  assert first['position'] == np.float32(record.slice_height(11, 26))
  np.testing.assert_allclose(np.linalg.det(first['affine'][:3, :3]), 216.0)
  details = json.loads(first['details'])
  assert 1 <= details['ventricle_ratio'] <= 3 and 20 <= first['age'] <= 90
  sick = [r for r in records if r['lesion'].any()]
  assert sick and all(np.any(r['twin'] != r['image']) for r in sick)


def test_the_manifest_names_every_subject(built):
  stored = manifest.read(built.data_dir)
  assert built.digest() == stored['digest']
  assert len(stored['volumes']) == len(built.builder_config.plan())


def test_scans_can_be_brought_to_the_same_grid(built):
  steps = dict(built.scan_steps())
  assert steps['pad_or_crop'] == {'shape': (32, 32)}
  assert steps['resample'] == {'spacing': 6.0}


def test_every_config_plans_unique_subjects():
  for settings in sim_brain.CONFIGS.values():
    names = [plan.name for plan in settings.plan()]
    assert len(names) == len(set(names))
    assert dataclasses.asdict(settings)['name'] == settings.name


def test_an_unknown_config_is_named():
  with pytest.raises(ValueError, match="unknown config 'huge'; there are demo, slices"):
    sim_brain.open_builder(config='huge')
