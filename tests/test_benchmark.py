"""Which stored runs stand in the tables."""

import json

import pytest

from uad_jax import benchmark, registry
from uad_jax.evaluation.summary import SCHEMA

pytestmark = pytest.mark.usefixtures('in_the_project')


@pytest.fixture
def row(tmp_path):
  """A finished row of today's config, as far as the choice of rows looks at it."""
  (row,) = benchmark.plan('demo', ['threshold'], [0], str(tmp_path))
  row.folder.mkdir(parents=True)
  told = {'suite': row.suite, 'name': row.name, 'seed': row.seed}
  (row.folder / benchmark.INDEX).write_text(json.dumps(told))
  store(row, SCHEMA, registry.plain(row.config))
  return row


def store(row, schema, config):
  results = {'schema': schema, 'run': {'config': config}}
  (row.folder / 'results.json').write_text(json.dumps(results))


def test_a_row_of_todays_config_is_found(row, tmp_path):
  (found,) = benchmark.stored(str(tmp_path))
  assert (found.folder, found.seed) == (row.folder, 0)


@pytest.mark.parametrize('schema, steps, says', [
  ('0.9', (), f'has the layout 0.9, now {SCHEMA}'),
  (SCHEMA, [7], 'config.steps was [7], now []'),
])  # fmt: skip
def test_what_today_would_be_otherwise_is_named(
  row, tmp_path, capsys, schema, steps, says
):
  store(row, schema, registry.plain(row.config) | {'steps': list(steps)})
  with pytest.raises(FileNotFoundError, match="no finished row of today's configs"):
    benchmark.stored(str(tmp_path))
  told = capsys.readouterr().err
  assert f'left out: {row.folder}: ' in told and says in told
