"""Comparison of trees of derivatives, each leaf on its own scale."""

import jax
import numpy as np


def assert_close(actual, want, rtol: float = 1e-4, of_largest: float = 1e-4) -> None:
  """Asserts that trees are equal within rtol, or that part of each leaf's largest."""
  assert jax.tree.structure(actual) == jax.tree.structure(want)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(want), strict=True):
    atol = of_largest * float(np.abs(b).max())
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
