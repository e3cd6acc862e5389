import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uad_jax.method import Method, Objective, bind, need
from uad_jax.update import due, init_state, make_update


def quadratic(target):
  def loss(params, stats, batch, key, step):
    apart = params['w'] - target
    return (apart**2).mean(), (stats, {})

  return loss


def two_players():
  """'w' goes to 3 at every step, 'v' follows w at every second, a fit counts steps."""

  def chase(params, stats, batch, key, step):
    return ((params['v'] - params['w']) ** 2).mean(), (stats, {'step': step})

  def count(params, stats, batch, key, step):
    return jnp.zeros(()), ({'count': stats['count'] + batch['weight'].sum()}, {})

  def init(key, batch):
    return {'w': jnp.zeros(2), 'v': jnp.ones(2)}, {'count': jnp.zeros(())}

  objectives = {
    'lead': Objective(quadratic(3.0), ('w',)),
    'follow': Objective(chase, ('v',), every=2),
    'count': Objective(count, stage=1, split='val'),
  }
  return Method(init, objectives, lambda p, s, b, k: {'latent': p['w']})


TX = {'lead': optax.sgd(0.5), 'follow': optax.sgd(1.0)}
BATCHES = {'train': {'weight': jnp.ones(4)}, 'val': {'weight': jnp.ones(3)}}


def test_due_follows_stages_and_alternation():
  objectives = two_players().objectives
  ends = (3, 5)
  found = [due(objectives, ends, step) for step in range(6)]
  both = ('lead', 'follow')
  assert found == [both, ('lead',), both, ('count',), ('count',), ()]


def test_due_counts_alternation_from_the_start_of_the_stage():
  objectives = {'late': Objective(quadratic(0.0), ('w',), stage=1, every=2)}
  assert [bool(due(objectives, (3, 7), s)) for s in range(3, 7)] == [1, 0, 1, 0]


def test_objectives_move_in_order_and_only_their_own_networks(key):
  method = two_players()
  state = init_state(method, TX, key, {})
  update = make_update(method, TX, (3, 5))
  state, metrics = update(('lead', 'follow'))(state, BATCHES, key)
  # lead: w = 0 - 0.5 * (0 - 3) = 1.5; follow sees it: v = 1 - (1 - 1.5) = 1.5.
  np.testing.assert_allclose(state.params['w'], 1.5)
  np.testing.assert_allclose(state.params['v'], 1.5)
  before = np.asarray(state.params['v'])
  state, _ = update(('lead',))(state, BATCHES, key)
  np.testing.assert_array_equal(state.params['v'], before)
  assert state.params['w'][0] == 2.25 and state.step == 2


def test_a_fit_writes_stats_from_its_own_split(key):
  method = two_players()
  state = init_state(method, TX, key, {})
  state = state.replace(step=state.step + 4)
  params = jax.tree.map(np.asarray, state.params)
  state, _ = make_update(method, TX, (3, 5))(('count',))(state, BATCHES, key)
  assert state.stats['count'] == 3
  jax.tree.map(np.testing.assert_array_equal, state.params, params)


def test_the_step_of_an_objective_counts_from_its_stage(key):
  method = two_players()
  objectives = dict(method.objectives)
  objectives['follow'] = objectives['follow']._replace(stage=1)
  method = method._replace(objectives=objectives)
  state = init_state(method, TX, key, {}).replace(step=jnp.array(5))
  _, metrics = make_update(method, TX, (3, 9))(('follow',))(state, BATCHES, key)
  assert metrics['follow/step'] == 2


def test_each_set_of_objectives_is_compiled_once(key):
  traces = []

  def loss(params, stats, batch, key, step):
    traces.append(1)
    return (params['w'] ** 2).mean(), (stats, {})

  method = Method(
    lambda key, batch: ({'w': jnp.ones(2)}, {}), {'a': Objective(loss, ('w',))}, None
  )
  tx = {'a': optax.sgd(0.1)}
  state = init_state(method, tx, key, {})
  update = make_update(method, tx, (9,))
  for _ in range(4):
    state, _ = update(('a',))(state, BATCHES, key)
  assert len(traces) == 1


def test_a_missing_output_is_named():
  infer = bind(two_players(), {'w': jnp.ones(2)}, {})
  with pytest.raises(
    ValueError, match="'restoration' needs elbo; this method gives latent"
  ):
    need(infer({}, None), 'restoration', 'elbo')
