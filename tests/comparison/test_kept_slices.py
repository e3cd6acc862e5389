"""The slices that docs/ keeps of a run, from which the picture of all is drawn."""

import numpy as np
import pytest

from uad_jax import benchmark, registry
from uad_jax.comparison import kept_slices, side_by_side
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.comparison.kept_slices import Exhibit
from uad_jax.evaluation.cases import Case


def exhibit(name, scans=('sub-1', 'sub-2'), **more):
  """A run of today's config on random slices; `more` replaces fields."""
  rng = np.random.default_rng(len(name))
  cases = []
  for _ in scans:
    mask = np.zeros((24, 20, 1), np.float32)
    mask[4:20, 4:16] = 1
    panels = {
      'image': mask * rng.random(mask.shape),
      'mask': mask,
      'lesion': mask * (rng.random(mask.shape) > 0.9),
      'map': 3 * mask * rng.random(mask.shape),
      'reconstruction': mask * rng.normal(size=mask.shape),
      'gate': mask,
    }
    cases.append(Case(None, '', 0, np.nan, np.nan, panels))
  config = read_config(name, 'demo')
  config.seed = 1
  mark = registry.fingerprint(config)
  titles = {scan: f'ms of {scan}' for scan in scans}
  return Exhibit(name, (1,), mark, 'residual', titles, cases)._replace(**more)


def test_slices_come_back_to_a_255th_of_their_range(tmp_path, in_the_project):
  first = exhibit('vae')
  kept_slices.write(tmp_path / 'demo' / 'vae.npz', first)
  found = kept_slices.read(tmp_path / 'demo' / 'vae.npz')
  assert found._replace(cases=[]) == first._replace(cases=[])
  for case, other in zip(first.cases, found.cases, strict=True):
    assert [*other.panels] == [*kept_slices.PANELS]
    for name, values in other.panels.items():
      span = np.ptp(case.panels[name])
      np.testing.assert_allclose(values, case.panels[name], atol=0.51 * span / 255)


def test_a_file_that_holds_no_slices_is_named(tmp_path):
  path = tmp_path / 'vae.npz'
  path.write_bytes(b'PK nothing')
  with pytest.raises(ValueError, match=r'vae\.npz is not a file of kept slices'):
    kept_slices.read(path)


def test_the_picture_is_drawn_from_what_is_kept(tmp_path, in_the_project, monkeypatch):
  drawn = []
  monkeypatch.setattr(
    side_by_side, 'draw', lambda shown, titles: drawn.append((shown, titles)) or b'png'
  )
  folder = tmp_path / benchmark.RECORDS / 'demo'
  for name, more in {
    'vae': {},
    'ae': {},
    'cae': {'config': 'of yesterday'},
    'aae': {'titles': {'sub-3': 'another', 'sub-4': 'scan'}},
  }.items():
    kept_slices.write(folder / f'{name}.npz', exhibit(name, **more))
  path = benchmark.show('demo', [], tmp_path / 'results.md')
  assert path.read_bytes() == b'png'
  ((shown, titles),) = drawn
  # In the order of the tables; neither another config's row nor other scans.
  assert [*shown] == [('ae', 'residual\nseed 1'), ('vae', 'residual\nseed 1')]
  assert titles == ['ms of sub-1', 'ms of sub-2']


def test_kept_slices_can_be_drawn(tmp_path, in_the_project):
  kept_slices.write(tmp_path / 'vae.npz', exhibit('vae'))
  found = kept_slices.read(tmp_path / 'vae.npz')
  picture = side_by_side.draw({('vae', 'residual'): found.cases}, ['ms', 'wmh'])
  assert picture.startswith(b'\x89PNG')
