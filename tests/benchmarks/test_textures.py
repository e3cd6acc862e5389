"""Textures: defects have the brightness of the surface, and the page of the project."""

import json

import numpy as np
import pytest

from benchmarks import textures
from benchmarks.kept_results import paths


def test_a_defect_turns_the_texture_and_keeps_its_brightness():
  random = np.random.default_rng(0)
  healthy, (sick, mask) = textures.surfaces(random, 64), textures.defects(random, 64)
  assert healthy.shape == sick.shape == mask.shape
  assert 60 < mask.sum((1, 2, 3)).min() and mask.sum((1, 2, 3)).max() < 330
  for values in (healthy, sick[mask], sick[~mask]):
    assert values.mean() == pytest.approx(0.5, abs=0.02)
    assert values.std() == pytest.approx(0.15, abs=0.02)
  # Neighbours along one axis are alike in the surface, and unlike in a defect.
  along, across = (abs(np.diff(sick, axis=axis)) for axis in (2, 1))
  inside, outside = mask[:, 1:, 1:], ~mask[:, 1:, 1:]
  ratio = along[:, 1:] / (across[:, :, 1:] + 1e-3)
  assert np.median(ratio[outside]) < 0.7 < 1.4 < np.median(ratio[inside])
  assert textures.measure('intensity', 0)['pixel'] == pytest.approx(0.5, abs=0.03)


def test_the_page_of_the_project_is_what_its_results_render(in_the_project):
  results, page = paths('textures')
  kept = json.loads(results.read_text())
  assert page.read_text() == textures.page(kept)
  assert set(kept) <= set(textures.ROWS) and 'intensity' in kept
