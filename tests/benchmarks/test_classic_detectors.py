"""Classic detectors on brains: the rows are presets, and the page of the project."""

import json

from benchmarks import classic_detectors
from benchmarks.kept_results import paths
from uad_jax.registry import config_path, read_config


def test_the_rows_are_all_detectors_of_the_preset_on_each_data_set():
  detectors = set()
  for row in classic_detectors.ROWS:
    options = read_config(config_path('patch_detector'), row).method
    assert row.startswith(f'{options.detector}:')
    detectors.add(options.detector)
  assert len(classic_detectors.ROWS) == len(detectors) * len(classic_detectors.DATA)
  assert detectors == set(classic_detectors.DETECTORS)


def test_the_page_of_the_project_is_what_its_results_render(in_the_project):
  results, page = paths('classic_detectors')
  kept = json.loads(results.read_text())
  assert page.read_text() == classic_detectors.page(kept)
  assert set(kept) <= set(classic_detectors.ROWS)
