import json
import types

import jax
import pytest
from ml_collections import ConfigDict

from tests.cohort import SCORERS, run
from tests.conftest import ROOT
from uad_jax import benchmark, experiment, model_card, registry
from uad_jax.comparison import benchmark_rows, paired_differences, records, results
from uad_jax.comparison.finished_runs import read
from uad_jax.comparison.stored_records import read as read_records
from uad_jax.comparison.stored_records import write
from uad_jax.data import manifest
from uad_jax.report import page

CARD = {
  'shape': [16, 16],
  'channels': 1,
  'steps': [],
  'training': {'subjects': 48, 'records': 480},
}


@pytest.fixture(autouse=True)
def without_reports(monkeypatch):
  """Tables are made from results.json alone; the pictures of a report take seconds."""
  monkeypatch.setattr(page, 'render', lambda *_: '')


def stored(folder, name, seed, manifest, variants=(), scorers=SCORERS, config=None):
  """A finished run as the benchmark keeps it."""
  found = run(jax.random.key(seed), scorers=scorers)
  config = config or {'variants': dict.fromkeys(variants, {})}
  for variant in ('', *variants):
    place = folder / 'variants' / variant if variant else folder
    page.write(
      found,
      place,
      title=name,
      config=config,
      seed=seed,
      manifest=manifest,
      command='x',
    )
  row = {'suite': folder.parent.name, 'name': name, 'seed': seed}
  (folder / 'parameters.txt').write_text('| a | b |\nTotal: 1,234 -- 4,936 bytes\n')
  for file, content in {
    'config': config,
    'row': row,
    'training': {'steps': 7, 'seconds': 90.0},
    'model': CARD,
  }.items():
    (folder / f'{file}.json').write_text(json.dumps(content))
  return folder


def rendered(folders, **more):
  """The page of stored runs, by their records as they come back from a file."""
  suites = {}
  for folder in folders:
    suites.setdefault(folder.parent.name, []).extend(read(folder))
  path = folders[0].parent / 'records.jsonl'
  kept = {}
  for suite, runs in suites.items():
    write(path, records.from_runs(runs))
    kept[suite] = read_records(path)
  return results.page(kept, **more)


def choose(folder, scorer):
  """Lets a stored run have chosen this map."""
  path = folder / 'results.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), 'default': scorer}))


def tables(text):
  """The tables of a page, each a list of rows of cells, heads and rules left out."""
  found = []
  for block in text.split('\n\n'):
    lines = block.splitlines()
    if lines and lines[0].startswith('|'):
      found.append([line.strip('| ').split(' | ') for line in lines[2:]])
  return found


def pooled(folder, scorer, metric):
  summary = json.loads((folder / 'results.json').read_text())
  return summary['scorers'][scorer]['pooled'][metric]['value']


def test_the_page_holds_every_map_with_its_interval(tmp_path):
  folders = [stored(tmp_path / 'demo' / f'a-{s}', 'vae', s, 'd') for s in (0, 1)]
  text = rendered(folders)
  value = pooled(folders[0], 'absolute', 'auprc')
  _, rows, _ = tables(text)
  assert [row[:2] for row in rows] == [['vae', 'absolute \\*'], ['vae', 'signed']]
  assert rows[0][2].startswith(f'{value:.3f} [')
  assert rows[0][-3:] == ['7', '1.5', '2']
  assert '5 test scans of 5 subjects, 3 with lesions' in text


def test_the_summary_has_a_row_for_each_method_in_the_order_given(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(results, 'PLAIN', 'signed')
  names = ('vae', 'atlas', 'zeta')
  folders = [stored(tmp_path / 'demo' / name, name, 0, 'd') for name in names]
  choose(folders[1], 'signed')
  (folders[2] / 'model.json').unlink()
  (folders[2] / 'parameters.txt').unlink()
  rows, *_ = tables(rendered(folders))
  maps = ('absolute', 'signed', 'absolute')
  assert [row[:2] for row in rows] == [[*p] for p in zip(names, maps, strict=True)]
  for folder, scorer, row in zip(folders, maps, rows, strict=True):
    assert row[2].startswith(f'{pooled(folder, scorer, "auprc"):.3f} [')
    assert row[4] == f'{pooled(folder, "signed", "auprc"):.3f}'
    assert row[5] == f'{pooled(folder, scorer, "oracle_dice"):.3f}'
  gap = pooled(folders[0], 'absolute', 'auprc') - pooled(folders[1], 'signed', 'auprc')
  assert gap and rows[0][3].startswith(f'{gap:+.3f} [')
  assert [row[3] for row in rows[1:]] == ['–', rows[0][3]]
  assert rows[0][-5:] == ['1,234', '48 subjects, 480 slices', '7', '1.5', '1']
  assert rows[2][-5:] == ['–', '–', '7', '1.5', '1']


def test_the_summary_takes_of_each_seed_the_map_that_it_chose(tmp_path):
  folders = [stored(tmp_path / 'demo' / f'v-{s}', 'vae', s, 'd') for s in (0, 1, 2)]
  choose(folders[2], 'signed')
  # Only the chosen map of the last seed counts, so that a change of it must show.
  path = folders[2] / 'results.json'
  summary = json.loads(path.read_text())
  summary['scorers']['signed']['pooled']['auprc']['value'] = 0.0
  path.write_text(json.dumps(summary))
  (row,), *_ = tables(rendered(folders))
  assert row[1] == 'absolute (2), signed (1)'
  mean = sum(pooled(f, 'absolute', 'auprc') for f in folders[:2]) / 3
  assert row[2].startswith(f'{mean:.3f} [') and row[3] == '–' and row[-1] == '3'


def test_what_a_method_has_over_the_atlas_is_a_mean_over_the_seeds_of_both(tmp_path):
  folders = [stored(tmp_path / 'demo' / f'v-{s}', 'vae', s, 'd') for s in (0, 1, 2)]
  honest = [stored(tmp_path / 'demo' / f'a-{s}', 'atlas', s, 'd') for s in (0, 1)]
  for folder in honest:
    choose(folder, 'signed')
  (_, row), *_ = tables(rendered([*honest, *folders]))
  gaps = [
    pooled(a, 'absolute', 'auprc') - pooled(b, 'signed', 'auprc')
    for a, b in zip(folders, honest, strict=False)  # the last seed has no atlas
  ]
  assert row[3].startswith(f'{sum(gaps) / 2:+.3f} [')


def test_the_training_data_are_counted_by_the_manifests(tmp_path):
  builders = {}
  for name, subjects in {'': ('a', 'b'), 'oasis': ('a',)}.items():
    folder = tmp_path / f'data{name}'
    folder.mkdir()
    volumes = [
      {'subject': subject, 'session': session, 'split': split, 'sha256': ''}
      for subject in subjects
      for session, split in (('1', 'train'), ('2', 'train'), ('1', 'few'))
    ]
    volumes.append({**volumes[0], 'subject': 'c', 'split': 'test'})
    manifest.write(manifest.make({}, volumes), str(folder))
    builders[name] = types.SimpleNamespace(data_dir=str(folder))
  made = experiment.Experiment(
    ConfigDict({'data': {'train': 'train + 0.5*oasis/train'}}),
    builders,
    {'train + 0.5*oasis/train': range(60)}.get,
    *[None] * 5,
  )
  assert model_card.training_size(made) == {'subjects': 3, 'records': 60}


def test_the_picture_of_a_data_set_is_shown_where_there_is_one(tmp_path):
  folders = [stored(tmp_path / suite / 'v', 'vae', 0, 'd') for suite in ('demo', 'ixi')]
  text = rendered(folders, pictures={'ixi': 'figures/x.png'})
  assert text.count('](figures/x.png)') == 1
  assert text.index('## ixi') < text.index('](figures/x.png)')
  assert '![' not in rendered(folders)


def test_only_runs_of_todays_configs_are_taken(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(ROOT)
  rows = benchmark_rows.plan('demo', ['ae', 'threshold'], [0, 1], str(tmp_path))
  for row in rows:
    config = registry.plain(row.config)
    if (row.name, row.seed) == ('ae', 1):
      config['batch_size'] = 7
    stored(row.folder, row.name, row.seed, 'd', config=config)
  taken = benchmark_rows.stored(str(tmp_path))
  assert [(row.name, row.seed) for row in taken] == [
    ('threshold', 0),
    ('threshold', 1),
    ('ae', 0),
  ]
  (told,) = capsys.readouterr().err.splitlines()
  assert 'demo/ae-1-' in told and 'config.batch_size was 7, now' in told
  # The same run in a second folder would count twice.
  rows[0].folder.rename(rows[0].folder.with_name('ae-0-copy'))
  assert len(benchmark_rows.stored(str(tmp_path))) == 2
  assert 'its folder would be ae-0-' in capsys.readouterr().err
  assert benchmark_rows.stored(str(tmp_path), 'ixi') == []
  with pytest.raises(FileNotFoundError, match="no row of 'ixi' is of today"):
    benchmark.show('ixi', [], tmp_path / 'results.md')


def test_unequal_data_is_never_put_in_one_table(tmp_path):
  folders = [
    stored(tmp_path / 'demo' / digest, 'vae', 0, digest) for digest in ('one', 'two')
  ]
  with pytest.raises(ValueError, match="runs of 'demo' saw unequal data: one, two"):
    rendered(folders)


@pytest.mark.slow
def test_data_are_the_same_where_the_honest_row_finds_them_so(tmp_path):
  folders = [
    stored(tmp_path / 'demo' / f'{name}-{digest}', name, seed, digest)
    for seed, digest in enumerate(('one', 'two'))
    for name in ('atlas', 'vae')
  ]

  def shift(by):
    path = folders[2] / 'results.json'
    told = json.loads(path.read_text())
    auprc = told['scorers'][told['default']]['pooled']['auprc']
    auprc['value'] = pooled(folders[0], told['default'], 'auprc') + by
    path.write_text(json.dumps(told))

  shift(results.SAME / 2)
  assert 'Data one, two.' in rendered(folders)
  for seen in (folders[:2] + folders[3:], folders[1::2]):
    with pytest.raises(ValueError, match="or run 'atlas' beside each to show"):
      rendered(seen)
  shift(2 * results.SAME)
  with pytest.raises(ValueError, match='saw unequal data: one, two'):
    rendered(folders)


def test_a_run_is_compared_with_its_prior_its_uniform_fields_and_others(tmp_path):
  names = ('standardised', 'standardised_prior')
  maps = dict(zip(names, SCORERS.values(), strict=True))
  fields = ('uniform_1', 'uniform_10')
  ours = stored(tmp_path / 'demo' / 'u', 'dae_unc', 0, 'd', fields, maps)
  other = stored(tmp_path / 'demo' / 'v', 'vae', 0, 'd')
  text = rendered([ours, other])
  rows = [line for line in text.splitlines() if line.startswith('| dae_unc | 0 |')]
  assert [row.split(' | ')[2:4] for row in rows] == [
    ['standardised', 'own standardised_prior'],
    ['standardised', 'uniform_1 standardised'],
    ['standardised', 'vae absolute'],
  ]
  # The toy's variants are the run itself.
  assert rows[1].endswith('| +0.000 [+0.000, +0.000] |')
  main, vae = read(ours)[0], read(other)[0]
  theirs = paired_differences.auprc(vae, 'absolute')
  expected = paired_differences.auprc(main, 'standardised') - theirs
  assert f'| {expected:+.3f} [' in rows[2]
