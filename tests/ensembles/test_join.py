"""Runs of two seeds joined to an ensemble, which is then evaluated as a run."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.small_run import world  # noqa: F401
from uad_jax import run_folder
from uad_jax.ensembles.__main__ import MEMBERS
from uad_jax.ensembles.join import join
from uad_jax.trained_run import open_run


@pytest.fixture(scope='module')
def runs(world, tmp_path_factory):  # noqa: F811
  config, _, first, _ = world
  second = tmp_path_factory.mktemp('other') / 'run'
  config.seed = 1
  run_folder.run(config, str(second), until='train')
  return first, second


@pytest.mark.slow
def test_finished_runs_become_an_ensemble(runs, tmp_path):
  config = join(runs, tmp_path / 'both')
  config.scores.update(MEMBERS)
  table = run_folder.run(config, str(tmp_path / 'both'))
  assert 'members_deviation' in table
  opened, alone = open_run(tmp_path / 'both'), [open_run(run) for run in runs]
  batch = {
    'image': jnp.ones((2, 16, 16, 1)),
    'mask': jnp.ones((2, 16, 16, 1)),
    'position': jnp.zeros(2),
    'weight': jnp.ones(2),
  }

  def infer(run):
    state = run.state
    return run.method.infer(state.params, state.stats, batch, jax.random.key(0))

  outputs = infer(opened)
  for member, run in enumerate(alone):
    np.testing.assert_allclose(
      outputs['reconstruction_members'][:, member],
      infer(run)['reconstruction'],
      atol=1e-5,
    )
  results = json.loads((tmp_path / 'both' / 'results.json').read_text())
  names = {'reconstruction/members_deviation', 'reconstruction/predicted'}
  assert set(results['uncertainty']) == names
  assert 'sparsification' in results['uncertainty']['reconstruction/predicted']
  page = (tmp_path / 'both' / 'report.html').read_text()
  assert '<h2>Uncertainty</h2>' in page and 'ENCE, isotonic' in page


def test_runs_that_do_not_fit_are_refused(runs, tmp_path):
  first, second = runs
  with pytest.raises(ValueError, match='at least 2 runs, not 1'):
    join([first], tmp_path / 'new')
  with pytest.raises(ValueError, match=r'need different seeds, not \[0, 0\]'):
    join([first, first], tmp_path / 'new')
  other = tmp_path / 'other'
  shutil.copytree(second, other)
  settings = json.loads((other / 'config.json').read_text())
  settings['method']['beta'] = 0.5
  (other / 'config.json').write_text(json.dumps(settings))
  with pytest.raises(ValueError, match=r'more than the seed: config.method.beta was'):
    join([first, other], tmp_path / 'new')
  assert not (tmp_path / 'new').exists()
