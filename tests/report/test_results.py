import json

import jax
import pytest

from tests.cohort import SCORERS, run
from uad_jax.report import page, results


def stored(folder, name, seed, manifest, variants=(), scorers=SCORERS):
  """A finished run as the benchmark keeps it."""
  found = run(jax.random.key(seed), scorers=scorers)
  for variant in ('', *variants):
    place = folder / 'variants' / variant if variant else folder
    page.write(
      found, place, title=name, config={}, seed=seed, manifest=manifest, command='x'
    )
  config = {'variants': dict.fromkeys(variants, {})}
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'row.json').write_text(
    json.dumps({'suite': 's', 'name': name, 'seed': seed})
  )
  (folder / 'training.json').write_text(json.dumps({'steps': 7, 'seconds': 90.0}))
  return folder


def test_the_page_holds_every_map_with_its_interval(tmp_path):
  folders = [
    stored(tmp_path / 'demo' / f'a-{seed}', 'vae', seed, 'digest') for seed in (0, 1)
  ]
  text = results.page(folders)
  summary = json.loads((folders[0] / 'results.json').read_text())
  value = summary['scorers']['absolute']['pooled']['auprc']['value']
  rows = [line for line in text.splitlines() if line.startswith('| vae')]
  assert len(rows) == 2
  absolute = next(row for row in rows if '| absolute' in row)
  assert f'{value:.3f} [' in absolute
  assert absolute.endswith('| 7 | 1.5 | 2 |')
  assert '5 test scans of 5 subjects, 3 with lesions' in text


def test_unequal_data_is_never_put_in_one_table(tmp_path):
  folders = [
    stored(tmp_path / 'demo' / digest, 'vae', 0, digest) for digest in ('one', 'two')
  ]
  with pytest.raises(ValueError, match="runs of 'demo' saw unequal data: one, two"):
    results.page(folders)


def test_a_run_is_compared_with_its_prior_its_uniform_fields_and_others(tmp_path):
  names = ('standardised', 'standardised_prior')
  maps = dict(zip(names, SCORERS.values(), strict=True))
  fields = ('uniform_1', 'uniform_10')
  ours = stored(tmp_path / 'demo' / 'u', 'dae_unc', 0, 'd', fields, maps)
  other = stored(tmp_path / 'demo' / 'v', 'vae', 0, 'd')
  text = results.page([ours, other])
  rows = [line for line in text.splitlines() if line.startswith('| dae_unc | 0 |')]
  assert [row.split(' | ')[2:4] for row in rows] == [
    ['standardised', 'own standardised_prior'],
    ['standardised', 'uniform_1 standardised'],
    ['standardised', 'vae absolute'],
  ]
  # The toy's variants are the run itself.
  assert rows[1].endswith('| +0.000 [+0.000, +0.000] |')
  main, vae = results.read(ours)[0], results.read(other)[0]
  expected = results.auprc(main, 'standardised') - results.auprc(vae, 'absolute')
  assert f'| {expected:+.3f} [' in rows[2]
