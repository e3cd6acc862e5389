import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import ROWS, trained
from uad_jax.methods.families import vqvae
from uad_jax.nets.transformer import Transformer
from uad_jax.ops import raster_orders
from uad_jax.registry import named

K, PLACES, STARTS = 5, 6, 2
SHAPE, OPTIONS, _ = ROWS['vqvae_transformer']
WAYS = raster_orders.raster((4, 4), OPTIONS['rasters'])


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


@pytest.mark.slow
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


def outputs(likely, key=0):
  _, batch, _, state, _, _ = trained('vqvae_transformer')
  method = named('methods', 'vqvae_transformer')(SHAPE, **OPTIONS, likely=likely)
  infer = jax.jit(method.infer)
  return infer(state.params, state.stats, batch, jax.random.key(key)), batch


@pytest.mark.slow
def test_only_what_is_unlikely_is_healed():
  none, _ = outputs(0.0)
  assert not none['heal_mask'].any()
  for order in range(none['healed'].shape[1]):
    np.testing.assert_allclose(none['healed'][:, order], none['decoded'], atol=1e-5)
  every, _ = outputs(1.0)
  np.testing.assert_allclose(every['heal_mask'], 1.0)
  np.testing.assert_allclose(
    every['reconstruction'], np.asarray(every['healed']).mean(1), atol=1e-6
  )
  other, _ = outputs(1.0, key=1)
  assert np.abs(every['healed'] - other['healed']).max() > 0


def tokens_of(found, state):
  """The codes [B, L] whose values inference gives."""
  book = np.asarray(state.stats['codebook']['codes'])
  apart = np.abs(np.asarray(found['latent'])[..., None, :] - book).sum(-1)
  assert apart.min(-1).max() == 0
  return apart.argmin(-1).reshape(len(apart), -1)


def given_the_prefix(transformer, way, number, tokens, t):
  """Oracle: log p of each code at turn t of an order, the network told no more."""
  before = np.column_stack(
    [np.full(len(tokens), OPTIONS['codes'] + number), tokens[:, way[:t]]]
  )
  places = np.array([[16, *way[:t]], way[: t + 1]])[:, None].repeat(len(tokens), 1)
  log = apply_prior({'params': transformer}, before, *places)[:, -1]
  return np.asarray(jax.nn.log_softmax(log))


@jax.jit
def apply_prior(variables, before, at, asked):
  sizes = (OPTIONS[name] for name in ('codes', 'rasters'))
  net = Transformer(*sizes, 16, OPTIONS['width'], OPTIONS['depth'], OPTIONS['heads'])
  return net.apply(variables, before, at, asked)


@pytest.mark.slow
def test_the_likelihood_is_of_each_code_given_those_before_it():
  _, batch, _, state, _, infer = trained('vqvae_transformer')
  found = infer(state.params, state.stats, batch, jax.random.key(0))
  tokens, total = tokens_of(found, state), 0
  for number, way in enumerate(WAYS):
    for t in range(16):
      log = given_the_prefix(state.params['transformer'], way, number, tokens, t)
      total += log[np.arange(len(tokens)), tokens[:, way[t]]]
  np.testing.assert_allclose(found['log_prob'], total / len(WAYS), rtol=1e-4)


def test_healing_goes_on_from_what_it_has_healed():
  """A prior that is all but certain draws its best code; the oracle goes by turns."""
  _, batch, _, state, _, _ = trained('vqvae_transformer')
  method = named('methods', 'vqvae_transformer')(SHAPE, **OPTIONS, likely=0.5)
  sure = {**state.params['transformer']}
  sure['logits'] = jax.tree.map(lambda x: 1e4 * x, sure['logits'])
  params = {**state.params, 'transformer': sure}
  found = jax.jit(method.infer)(params, state.stats, batch, jax.random.key(0))
  tokens, book = tokens_of(found, state), state.stats['codebook']['codes']
  rows, kept = np.arange(len(tokens)), []
  sizes = (OPTIONS[name] for name in ('widths', 'units', 'codes', 'size'))
  decode = jax.jit(vqvae.make(SHAPE, 1, *sizes, 0.99, 0.25).decode)
  for number, way in enumerate(WAYS):
    healed = tokens.copy()
    for t, place in enumerate(way):
      told = given_the_prefix(sure, way, number, tokens, t)[rows, tokens[:, place]]
      best = given_the_prefix(sure, way, number, healed, t).argmax(-1)
      healed[:, place] = np.where(told < np.log(0.5), best, tokens[:, place])
    image = decode(state.params, book[healed.reshape(-1, 4, 4)]) * batch['mask']
    np.testing.assert_allclose(found['healed'][:, number], image, atol=1e-5)
    kept.append((healed == tokens).mean())
  assert 0 < np.mean(kept) < 1
