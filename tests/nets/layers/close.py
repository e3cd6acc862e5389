"""Derivatives compared, each leaf on its own scale."""

import jax
import numpy as np


def assert_close(found, want, rtol: float = 1e-4, of_largest: float = 1e-4) -> None:
  """Trees of one form with leaves within rtol, or that part of the leaf's largest."""
  assert jax.tree.structure(found) == jax.tree.structure(want)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
    atol = of_largest * float(np.abs(b).max())
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
