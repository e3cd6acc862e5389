"""Every config, shrunk, trains, scores and reports."""

import json

import numpy as np
import pytest

from tests.config_table import PRESET_ROWS, PRESETS, PUBLISHED
from tests.data.heads import tree
from tests.small_run import make_config
from uad_jax import experiment, run_folder
from uad_jax.comparison.benchmark_rows import ROWS, read_config

pytestmark = pytest.mark.usefixtures('in_the_project')


@pytest.fixture(scope='module')
def heads(tmp_path_factory):
  root = tmp_path_factory.mktemp('presets')
  splits = ('train', 'train', 'val', 'test')
  subjects = [f'sub-{i:02d}' for i in range(len(splits))]
  rows = [f'{s}\t{split}\n' for s, split in zip(subjects, splits, strict=True)]
  tree(root / 'heads', subjects, 'participant_id\tsplit\n' + ''.join(rows))
  return make_config(root / 'heads', root / 'data').data


def shrunk(config, data):
  """The config on small heads, in two steps a stage, of tiny networks."""
  tiny = {
    'widths': (8, 8),
    'latent': 4,
    'attention': 8,
    'hops': 2,
    'width': 8,
    'taps': 1,
  }
  tiny |= {
    'depth': 1,
    'heads': 2,
    'codes': 4,
    'size': 4,
    'rasters': 1,
    'critic': (8, 8),
    'bank': 16,
    'estimator': (4,),
    'hidden': 4 if isinstance(config.method.get('hidden'), int) else (4, 4),
    'feature_widths': (8, 8),
  }
  config.method.update({k: v for k, v in tiny.items() if k in config.method})
  for row in config.scores.values():
    if 'steps' in row:
      row.steps = 2
  if 'detector' in config.adapt:
    config.adapt.detector.update(bank=16, options=dict(k=1, coreset=8))
  config.data, config.batch_size, config.resamples = data, 4, 20
  config.steps = (2,) * len(config.steps)
  config.log_every = config.save_every = 1
  return config


LONG = ('pinaya2021', 'wyatt2022', 'you2019', 'chen2018', 'baur2021')
"""Presets whose run takes most of the time; tests/methods train their methods."""

RUNS = [
  # config and argument; the slow ones are those whose method another row trains too
  *(
    pytest.param(name, 'demo', marks=[pytest.mark.slow] if name in LONG else [])
    for name in PUBLISHED
  ),
  *(
    pytest.param(name, f'{method}:demo', marks=pytest.mark.slow)
    for name, method in PRESET_ROWS
    if name in PUBLISHED and method != PRESETS[name][0]
  ),
  *(pytest.param(name, 'demo', marks=pytest.mark.slow) for name in ROWS),
]


@pytest.mark.parametrize('name, arg', RUNS)
def test_a_config_trains_scores_and_reports(name, arg, heads, tmp_path):
  config = shrunk(read_config(name, arg), heads)
  text = run_folder.run(config, str(tmp_path / 'run'))
  assert text.endswith('report.html')
  assert all(row in text for row in config.scores)
  assert (tmp_path / 'run' / 'report.html').stat().st_size > 10_000
  metrics = tmp_path / 'run' / 'metrics.jsonl'
  if not any(config.steps):
    assert not metrics.exists()
    return
  told = [json.loads(line) for line in metrics.read_text().splitlines()]
  every, last = (
    [v for line in lines for k, v in line.items() if k.endswith('/loss')]
    for lines in (told, told[-1:])
  )
  # A last stage that trains nothing has no loss to tell.
  objectives = experiment.make_method(config, (16, 16), 1).objectives.values()
  stage = max(objective.stage for objective in objectives)
  learns = any(o.trains for o in objectives if o.stage == stage)
  assert np.isfinite(every).all() and bool(last) == learns
