"""Which stored runs stand in the tables."""

import json
import pathlib
import shutil

import pytest

from uad_jax import benchmark, registry, resume
from uad_jax.comparison import benchmark_rows, records, stored_records
from uad_jax.comparison.records import Record
from uad_jax.evaluation.summary import SCHEMA

pytestmark = pytest.mark.usefixtures('in_the_project')


@pytest.fixture
def row(tmp_path):
  """A finished row of today's config, as far as the choice of rows looks at it."""
  (row,) = benchmark_rows.plan('demo', ['threshold'], [0], str(tmp_path))
  row.folder.mkdir(parents=True)
  told = {'suite': row.suite, 'name': row.name, 'seed': row.seed}
  (row.folder / benchmark_rows.INDEX).write_text(json.dumps(told))
  store(row, SCHEMA, registry.plain(row.config))
  return row


def store(row, schema, config):
  results = {'schema': schema, 'run': {'config': config}}
  (row.folder / 'results.json').write_text(json.dumps(results))


def test_a_row_of_todays_config_is_found(row, tmp_path):
  (found,) = benchmark_rows.stored(str(tmp_path))
  assert (found.folder, found.seed) == (row.folder, 0)


@pytest.mark.parametrize('schema, steps, says', [
  ('0.9', (), f'has the layout 0.9, now {SCHEMA}'),
  (SCHEMA, [7], 'config.steps was [7], now []'),
])  # fmt: skip
def test_what_today_would_be_otherwise_is_named(
  row, tmp_path, capsys, schema, steps, says
):
  store(row, schema, registry.plain(row.config) | {'steps': list(steps)})
  assert benchmark_rows.stored(str(tmp_path)) == []
  told = capsys.readouterr().err
  assert f'left out: {row.folder}: ' in told and says in told


def test_a_record_of_another_config_is_left_out(tmp_path, capsys):
  kept = [
    record('ae', (0, 1)),
    record('atlas', (0,))._replace(config='another'),
    record('ae', (2,))._replace(name='gone'),
  ]
  stored_records.write(tmp_path / 'demo.jsonl', kept)
  assert benchmark.recorded('demo', [], tmp_path) == kept[:1]
  told = capsys.readouterr().err
  assert all(f"'{name}' is not of today's config" in told for name in ('atlas', 'gone'))


def test_a_run_within_a_mean_of_seeds_is_left_out_and_named(
  tmp_path, capsys, monkeypatch
):
  stored_records.write(tmp_path / 'demo.jsonl', [record('ae', (0, 1))])
  fresh = [record('ae', (1,)), record('ae', (2,))]
  monkeypatch.setattr(records, 'from_runs', lambda *_: fresh)
  found = benchmark.recorded('demo', [], tmp_path)
  assert [each.seeds for each in found] == [(0, 1), (2,)]
  assert 'left out: demo ae, seed 1 is in a mean of' in capsys.readouterr().err


def record(name, seeds):
  """A record of today's config."""
  config = benchmark_rows.read_config(name, 'demo')
  config.seed = seeds[0]
  return Record(
    name, '', seeds, registry.fingerprint(config), {}, 'm', None, None, 1, None, {},
    '', None, [],
  )  # fmt: skip


@pytest.mark.parametrize('suite', benchmark_rows.SUITES)
def test_the_records_of_the_project_are_of_todays_configs(suite):
  folder = pathlib.Path('docs') / benchmark.RECORDS
  kept = stored_records.read(folder / f'{suite}.jsonl')
  assert benchmark.recorded(suite, [], folder) == kept


def test_the_page_of_the_project_is_what_its_records_render(tmp_path):
  docs = pathlib.Path('docs')
  copied = tmp_path / 'docs'
  shutil.copytree(docs, copied)
  benchmark.render([], copied / 'results.md')
  assert (copied / 'results.md').read_text() == (docs / 'results.md').read_text()


def test_the_suite_of_the_former_normalisation_differs_in_it_alone():
  now, before = (
    registry.plain(benchmark_rows.read_config('vae', f'ixi{end}'))
    for end in ('', benchmark_rows.PERCENTILE)
  )
  assert before['data']['job'].pop('intensity') == 'percentile'
  assert now['data']['job'].pop('intensity') == 'quartiles'
  assert now == before


def test_a_training_that_knows_no_polarity_is_taken_over(tmp_path):
  both = f'stroke_flair64{benchmark_rows.UNSIGNED}'
  for name, taken in (('vae', True), ('cold_diffusion', False)):
    (told,) = benchmark_rows.plan('stroke_flair64', [name], [0], str(tmp_path))
    (row,) = benchmark_rows.plan(both, [name], [0], str(tmp_path))
    assert row.config.data.polarity == 'both' and told.folder != row.folder
    benchmark_rows.take_training(row, str(tmp_path))
    assert not row.folder.exists()  # nothing is finished yet
    (told.folder / 'checkpoints' / '7').mkdir(parents=True)
    (told.folder / 'training.json').write_text('{"steps": 7}')
    (told.folder / 'evaluation.npz').touch()
    store(told, SCHEMA, registry.plain(told.config))
    benchmark_rows.take_training(row, str(tmp_path))
    assert row.folder.exists() == taken
    if taken:
      assert (row.folder / 'checkpoints' / '7').is_dir()
      files = {path.name for path in row.folder.iterdir()}
      assert files == {'checkpoints', 'training.json', 'config.json'}
      resume.check_claim(row.folder, registry.plain(row.config))
