"""The search in cells: equal to that of all vectors if all cells are searched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.bank_vectors import made
from uad_jax.detectors.catalogue import build
from uad_jax.detectors.families.cells import FAR, cell_shape, nearest_in_cells, split
from uad_jax.detectors.families.neighbours import nearest


@pytest.mark.parametrize('number', [1, 2, 37, 1000])
def test_each_vector_is_in_one_cell(number):
  vectors = made(number, 12, 0)
  cells, centres = split(vectors)
  assert cells.shape[:2] == cell_shape(number)
  real = (cells < FAR).all(-1)
  assert real.sum() == number and np.ptp(real.sum(1)) <= 1
  np.testing.assert_array_equal(
    np.unique(cells[real], axis=0), np.unique(vectors, axis=0)
  )
  means = [cell[there].mean(0) for cell, there in zip(cells, real, strict=True)]
  np.testing.assert_allclose(centres, means, atol=1e-5)


@pytest.mark.parametrize('k', [1, 3])
def test_all_cells_together_give_the_search_of_all_vectors(k):
  bank, x = made(1001, 12, 0), made(150, 12, 1)
  cells, centres = split(bank)
  search = jax.jit(lambda x: nearest_in_cells(x, cells, centres, k, len(cells)))
  expected = nearest(jnp.asarray(x), jnp.asarray(bank), k)[0]
  np.testing.assert_allclose(search(jnp.asarray(x)), expected, atol=2e-3)


def test_more_cells_find_nearer_vectors_and_a_few_nearly_all():
  bank, x = jnp.asarray(made(5000, 12, 0)), jnp.asarray(made(300, 12, 1))
  cells, centres = split(bank)
  expected = nearest(x, bank, 1)[0]
  errors = [
    float((nearest_in_cells(x, cells, centres, 1, probes) - expected).mean())
    for probes in (1, 4, 16)
  ]
  assert errors[0] > errors[1] >= errors[2] > -1e-4
  assert errors[2] < 0.01 * float(expected.mean())


def test_the_detector_searches_cells_if_it_is_asked_to():
  vectors, x = made(900, 12, 0), made(64, 12, 1)
  exact, few = (build('knn', {'k': 2, 'probes': p}, '') for p in (0, 8))
  fits = [detector.fit(vectors) for detector in (exact, few)]
  for detector, fit in zip((exact, few), fits, strict=True):
    assert {k: v.shape for k, v in fit.items()} == detector.shapes(*vectors.shape)
  scores = exact.score(fits[0], x), few.score(fits[1], x)
  assert np.corrcoef(*scores)[0, 1] > 0.99
  with pytest.raises(ValueError, match='knn: probes is 33; allowed .* from 0 to 32'):
    build('knn', {'probes': 33}, '').shapes(900, 12)
  with pytest.raises(ValueError, match='knn: k is 60; allowed'):
    build('knn', {'k': 60, 'probes': 2}, '').shapes(900, 12)
