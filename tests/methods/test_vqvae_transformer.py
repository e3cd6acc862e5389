import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import ROWS, trained
from uad_jax import orders
from uad_jax.nets import quantise
from uad_jax.nets.transformer import Transformer
from uad_jax.registry import named

K, PLACES, STARTS = 5, 6, 2


@pytest.fixture
def prior(key):
  net = Transformer(K, STARTS, PLACES, width=8, depth=2, heads=2)
  zeros = jnp.zeros((1, PLACES), jnp.int32)
  return net, net.init(key, zeros, zeros, zeros)


@pytest.fixture
def sequence(key):
  before = jax.random.randint(key, (3, PLACES), 0, K).at[:, 0].set(K)
  asked = jnp.tile(jnp.arange(PLACES)[::-1], (3, 1))
  at = jnp.concatenate([jnp.full((3, 1), PLACES), asked[:, :-1]], 1)
  return before, at, asked


def test_with_the_cache_as_without(prior, sequence):
  net, variables = prior
  whole = net.apply(variables, *sequence)
  cache = net.empty(3)
  for t in range(PLACES):
    now = [part[:, t] for part in sequence]
    logits, cache = net.apply(variables, *now, cache, t, method=Transformer.step)
    np.testing.assert_allclose(logits, whole[:, t], atol=1e-5)


def test_no_token_sees_what_comes_after(prior, sequence):
  # By the Jacobian of the logits with respect to each embedded token before.
  net, variables = prior
  before, at, asked = sequence

  def logits(offset):
    params = variables['params']
    table = params['token']['embedding']
    # Each place gets an embedding of its own, which holds its token's vector.
    own = jnp.concatenate([table[before[0]] + offset, table[: K + STARTS - PLACES]])
    table = {**params, 'token': {'embedding': own}}
    own = jnp.arange(PLACES)[None]
    return net.apply({'params': table}, own, at[:1], asked[:1])[0]

  jacobian = jax.jacobian(logits)(jnp.zeros((PLACES, 8)))  # [L, K, L, width]
  influence = np.abs(jacobian).sum((1, 3))
  assert (np.triu(influence, 1) == 0).all()
  assert (np.diag(influence) > 0).all() and (np.tril(influence) > 0).sum() > PLACES


def test_codes_follow_their_means():
  # Oracle: the formulas in numpy.
  rng = np.random.default_rng(0)
  book = quantise.start(jax.random.key(0), 4, 3)
  z = rng.normal(size=(50, 3)).astype(np.float32)
  weight = (rng.random(50) > 0.3).astype(np.float32)
  tokens = np.asarray(quantise.nearest(book['codes'], z))
  distance = ((z[:, None] - np.asarray(book['codes'])[None]) ** 2).sum(-1)
  np.testing.assert_array_equal(tokens, distance.argmin(1))
  moved, perplexity = quantise.follow(
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
  book = quantise.start(jax.random.key(0), 3, 2)
  far = book['codes'].at[2].set(1e3)
  book = book | {'codes': far, 'total': far, 'count': jnp.array([1.0, 1.0, 1e-3])}
  z = jax.random.normal(jax.random.key(2), (20, 2))
  weight = jnp.ones(20).at[:10].set(0)
  tokens = quantise.nearest(book['codes'], z)
  moved, _ = quantise.follow(book, z, tokens, weight, jax.random.key(1))
  at = np.abs(np.asarray(z)[10:] - np.asarray(moved['codes'][2])).max(1)
  assert at.min() < 1e-6  # one of those that count
  assert moved['count'][2] > 0.3


@pytest.mark.parametrize('shape, many', [((3, 4), 8), ((2, 2, 3), 48)])
def test_raster_orders(shape, many):
  found = orders.raster(shape, many)
  assert len({tuple(order) for order in found}) == many
  assert (np.sort(found, 1) == np.arange(np.prod(shape))).all()
  np.testing.assert_array_equal(found[0], np.arange(np.prod(shape)))
  np.testing.assert_array_equal(found[1], found[0][::-1])
  with pytest.raises(ValueError, match=f'allowed are 1 to {many}'):
    orders.raster(shape, many + 1)


def outputs(likely, key=0):
  _, batch, _, state, _, _ = trained('vqvae_transformer')
  shape, options, _ = ROWS['vqvae_transformer']
  method = named('methods', 'vqvae_transformer')(shape, **options, likely=likely)
  infer = jax.jit(method.infer)
  return infer(state.params, state.stats, batch, jax.random.key(key)), batch


def test_only_what_is_unlikely_is_healed():
  none, _ = outputs(0.0)
  assert not none['heal_mask'].any()
  for order in range(none['healed'].shape[1]):
    np.testing.assert_allclose(
      none['healed'][:, order], none['reconstruction'], atol=1e-5
    )
  every, batch = outputs(1.0)
  np.testing.assert_allclose(
    every['heal_mask'],
    np.broadcast_to(batch['mask'][:, None], every['heal_mask'].shape),
  )
  other, _ = outputs(1.0, key=1)
  assert np.abs(every['healed'] - other['healed']).max() > 0


def test_the_likelihood_is_that_of_a_distribution():
  # Of all 2^2 ways to fill two places with two codes the probabilities sum to 1.
  make = named('methods', 'vqvae_transformer')
  method = make((4, 2), widths=(2,), units=1, codes=2, size=2, width=8, heads=2,
                depth=1, rasters=2)  # fmt: skip
  batch = {'image': jnp.zeros((1, 4, 2, 1)), 'mask': jnp.ones((1, 4, 2, 1))}
  batch |= {'weight': jnp.ones(1), 'position': jnp.zeros(1)}
  params, _ = method.init(jax.random.key(0), batch)
  net = Transformer(2, 2, 2, width=8, depth=1, heads=2)
  total = 0.0
  for first in range(2):
    for second in range(2):
      before = jnp.array([[2, first]])
      logits = net.apply(
        {'params': params['transformer']}, before, jnp.array([[2, 0]]),
        jnp.array([[0, 1]]),
      )  # fmt: skip
      log = jax.nn.log_softmax(logits)[0]
      total += float(jnp.exp(log[0, first] + log[1, second]))
  np.testing.assert_allclose(total, 1, rtol=1e-5)
