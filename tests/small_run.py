"""A run of the main job on a generated folder of heads, small enough for a test."""

import shutil

import pytest

from tests.data.heads import tree
from uad_jax import base_config, run_folder

SUBJECTS = {'train': 3, 'val': 1, 'test': 2}


def make_config(source, data):
  config = base_config.get_config('demo')
  config.data = dict(
    name='nifti_folder',
    dir=str(data),
    source=str(source),
    layout='bids',
    patterns=dict(labels='derivatives/dlmuse/sub-*/anat/*_dseg.nii*'),
    job=dict(shape=(16, 16), spacing=12.0, align=False, intensity='percentile'),
    workers=1,
    train='train',
    val='val',
    test='test',
    selection='painted',
  )
  config.method.update(name='vae', widths=(8, 8), latent=2)
  config.batch_size = 4
  config.steps = (6,)
  config.log_every, config.save_every, config.resamples = 2, 3, 20
  config.scores.update(
    residual=dict(scorer='residual'), standardised=dict(scorer='standardised')
  )
  return config


def make(root):
  """A folder of heads, and a finished run on it: (config, source, workdir, table)."""
  names = [split for split, n in SUBJECTS.items() for _ in range(n)]
  subjects = [f'sub-{i:02d}' for i in range(len(names))]
  table = 'participant_id\tsplit\n' + ''.join(
    f'{s}\t{split}\n' for s, split in zip(subjects, names, strict=True)
  )
  tree(root / 'heads', subjects, table)
  config = make_config(root / 'heads', root / 'data')
  text = run_folder.run(config, str(root / 'run'))
  return config, root / 'heads', root / 'run', text


@pytest.fixture(scope='module')
def world(small_run, tmp_path_factory):
  """A copy of the finished run, which the tests of a module may change."""
  config, source, run, text = small_run
  copy = tmp_path_factory.mktemp('job') / 'run'
  shutil.copytree(run, copy)
  text = text.replace(str(run), str(copy))
  return config.copy_and_resolve_references(), source, copy, text
