import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.ops import codebook


def test_codes_follow_their_means():
  # Oracle: the formulas in numpy.
  rng = np.random.default_rng(0)
  book = codebook.start(jax.random.key(0), 4, 3)
  z = rng.normal(size=(50, 3)).astype(np.float32)
  weight = (rng.random(50) > 0.3).astype(np.float32)
  tokens = np.asarray(codebook.nearest(book['codes'], z))
  distance = ((z[:, None] - np.asarray(book['codes'])[None]) ** 2).sum(-1)
  np.testing.assert_array_equal(tokens, distance.argmin(1))
  moved, perplexity = codebook.update(
    book, z, tokens, weight, jax.random.key(1), decay=0.9, dead=0.0
  )
  one_hot = np.eye(4)[tokens] * weight[:, None]
  count = 0.9 * np.ones(4) + 0.1 * one_hot.sum(0)
  total = 0.9 * np.asarray(book['codes']) + 0.1 * one_hot.T @ z
  smoothed = (count + 1e-5) / (count.sum() + 4e-5) * count.sum()
  np.testing.assert_allclose(moved['count'], count, rtol=1e-5)
  np.testing.assert_allclose(moved['codes'], total / smoothed[:, None], rtol=1e-4)
  share = one_hot.sum(0) / one_hot.sum()
  share = share[share > 0]
  np.testing.assert_allclose(
    perplexity, np.exp(-(share * np.log(share)).sum()), rtol=1e-5
  )


def test_dead_codes_begin_anew_where_scans_are():
  book = codebook.start(jax.random.key(0), 3, 2)
  far = book['codes'].at[2].set(1e3)
  book = book | {'codes': far, 'total': far, 'count': jnp.array([1.0, 1.0, 1e-3])}
  z = jax.random.normal(jax.random.key(2), (20, 2))
  weight = jnp.ones(20).at[:10].set(0)
  tokens = codebook.nearest(book['codes'], z)
  moved, _ = codebook.update(book, z, tokens, weight, jax.random.key(1))
  at = np.abs(np.asarray(z)[10:] - np.asarray(moved['codes'][2])).max(1)
  assert at.min() < 1e-6  # one of those that count
  assert moved['count'][2] > 0.3
