import json

import jax
import pytest

from tests.cohort import run
from uad_jax.report import page, results


def stored(folder, name, seed, manifest, variants=()):
  """A finished run as the benchmark keeps it."""
  found = run(jax.random.key(seed))
  for variant in ('', *variants):
    place = folder / 'variants' / variant if variant else folder
    page.write(
      found, place, title=name, config={}, seed=seed, manifest=manifest, command='x'
    )
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


def test_dae_unc_is_compared_with_its_uniform_fields(tmp_path, monkeypatch):
  folder = stored(tmp_path / 'demo' / 'u', 'dae_unc', 0, 'd', variants=('uniform_1',))
  # The toy's maps stand in for those that the comparison names.
  runs = results.read(folder)
  found = results.difference(runs[0], 'absolute', runs[1], 'absolute')
  assert found.value == 0 and found.low == 0 and found.high == 0
  other = results.difference(runs[0], 'absolute', runs[0], 'signed')
  expected = results.auprc(runs[0], 'absolute') - results.auprc(runs[0], 'signed')
  assert other.value == pytest.approx(expected, abs=1e-3)
  assert other.low <= other.value <= other.high
