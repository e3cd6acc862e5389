"""Slices of a finished run for the picture that compares all methods."""

import numpy as np

from uad_jax.comparison import showcase


def test_a_finished_run_gives_the_slices_of_the_chosen_scans(small_run, monkeypatch):
  config, _, folder, _ = small_run
  chosen = {'sub-05': 'ms, 2 ml', 'sub-04': 'ms, 1 ml'}
  monkeypatch.setattr(showcase, 'median_volume_scans', lambda scans: chosen)
  (exhibit,) = showcase.exhibits({'vae': (config, folder)})
  assert exhibit.titles == chosen and exhibit.name == 'vae'
  for case in exhibit.cases:
    assert case.panels['image'].shape == (16, 16, 1)
    assert np.isfinite(case.panels['map']).all()
  first, second = (case.panels['image'] for case in exhibit.cases)
  assert not np.array_equal(first, second)


def test_a_run_that_cannot_be_opened_is_left_out_and_named(small_run, tmp_path, capsys):
  config = small_run[0]
  assert [*showcase.exhibits({'vae': (config, tmp_path)})] == []
  assert 'left out: vae' in capsys.readouterr().err
