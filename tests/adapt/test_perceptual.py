"""The perceptual term: its value, what it moves, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.two_domains import tiny
from tests.method_table import make_batch
from uad_jax.adapt import perceptual
from uad_jax.features import networks

SMALL = dict(widths=(4, 8), cell=4, of='reconstruction')


def test_the_term_is_the_distance_of_the_features(key):
  plain, batch = tiny('ae'), make_batch((16, 16))
  method = perceptual.make(alpha=0.5, **SMALL)(plain)
  assert list(method.objectives) == ['pretext', 'autoencoder']
  assert [o.stage for o in method.objectives.values()] == [0, 1]
  params, stats = jax.jit(method.init)(key, batch)

  def value(of):
    loss = of.objectives['autoencoder'].loss
    return jax.jit(loss)(params, stats, batch, key, 0)

  (total, (_, metrics)), (own, _) = value(method), value(plain)
  np.testing.assert_allclose(total, own + 0.5 * metrics['perceptual'], rtol=1e-5)
  extractor = networks.masked(1, (4, 8), 0.5, 4, 'test')
  other = plain.infer(params, stats, batch, key)['reconstruction']
  mask, expected = np.asarray(batch['mask']), []
  for a, b in zip(
    *(extractor.maps(params, x) for x in (batch['image'], other)), strict=True
  ):
    inside = jax.image.resize(mask, (*a.shape[:-1], 1), 'linear')
    inside = inside * batch['weight'][:, None, None, None]
    expected.append(float((inside * (a - b) ** 2).sum() / inside.sum() / a.shape[-1]))
  np.testing.assert_allclose(metrics['perceptual'], np.mean(expected), rtol=1e-4)


def test_a_reconstruction_like_the_scan_costs_nothing(key):
  batch = make_batch((16, 16))
  plain = tiny('ae')
  same = plain._replace(
    infer=lambda params, stats, batch, key: {'prior': jnp.asarray(batch['image'])}
  )
  method = perceptual.make(**SMALL | dict(of='prior'))(same)
  params, stats = jax.jit(method.init)(key, batch)
  loss = method.objectives['autoencoder'].loss
  _, (_, metrics) = jax.jit(loss)(params, stats, batch, key, 0)
  assert float(metrics['perceptual']) == 0


def test_impossible_options_and_methods_are_refused(key):
  with pytest.raises(ValueError, match='perceptual: alpha is 0; allowed is a number'):
    perceptual.make(alpha=0)
  with pytest.raises(ValueError, match="perceptual: unknown objective 'decoder'"):
    perceptual.make(objectives=('decoder',))(tiny('ae'))
  method = perceptual.make(widths=(4, 8), cell=4)(tiny('ae'))
  with pytest.raises(ValueError, match="perceptual: this method gives no 'prior'"):
    jax.eval_shape(lambda k: method.init(k, make_batch((16, 16))), key)
