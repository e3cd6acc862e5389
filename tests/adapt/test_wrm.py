"""WRM: where scans move, what the loss is, the certificate, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import ROWS, make_batch
from uad_jax.adapt import randomise, wrm
from uad_jax.method import Method, Objective
from uad_jax.ops import losses
from uad_jax.registry import named
from uad_jax.update import init_state, make_update

GAMMA = 0.7


def linear():
  """A method whose objectives are linear in the image; it keeps what they see.

  'first' is a mean over the brain voxels of a batch, 'second' a mean over scans.
  """

  def init(key, batch):
    seen = {'seen': jnp.zeros_like(batch['image'])}
    return {'net': {'w': jnp.full((), 2.0)}, 'other': {'v': jnp.ones(())}}, seen

  def slope(image):
    return jnp.cos(jnp.arange(image[0].size, dtype=jnp.float32)).reshape(
      image[:1].shape
    )

  def first(params, stats, batch, key, step):
    image = batch['image']
    value = losses.masked_mean(slope(image) * image, losses.voxel_weight(batch))
    return params['net']['w'] * value, (stats | {'seen': image}, {'plain': value})

  def second(params, stats, batch, key, step):
    image = batch['image']
    value = jax.vmap(losses.masked_mean)(slope(image) * image, batch['mask'])
    value = losses.example_mean(value, batch['weight'])
    return params['net']['w'] * value, (stats | {'seen': image}, {})

  def fit(params, stats, batch, key, step):
    return jnp.zeros(()), (stats | {'seen': batch['image']}, {})

  objectives = {
    'first': Objective(first, ('net',)),
    'second': Objective(second, ('net',)),
    'fitted': Objective(fit),
    'calibrated': Objective(fit, split='val'),
  }

  def infer(params, stats, batch, key):
    return {'reconstruction': batch['image'] * params['net']['w']}

  return Method(init, objectives, infer), slope


def brains(size=3):
  batch = make_batch((8, 9), size)
  batch['mask'][1, :4] = 0
  return batch


def run(method, name, batch, key):
  params, stats = method.init(key, batch)

  def loss(params):
    return method.objectives[name].loss(params, stats, batch, key, jnp.array(0))

  return jax.value_and_grad(loss, has_aux=True)(params)


@pytest.mark.parametrize(('name', 'by_scan'), [('first', False), ('second', True)])
def test_scans_move_along_the_slope_in_the_brain_whatever_the_batch(key, name, by_scan):
  method, slope = linear()
  adapted = wrm.make((name,), gamma=GAMMA, by_scan=by_scan)(method)
  batch = brains()
  (value, (stats, metrics)), grads = run(adapted, name, batch, key)
  # Closed form: x0 + w g / (2 gamma) in the brain.
  shift = 2.0 * np.asarray(slope(batch['image'])) / (2 * GAMMA) * batch['mask']
  np.testing.assert_allclose(stats['seen'], batch['image'] + shift, atol=1e-5)
  for i in range(3):
    one = {k: v[i : i + 1] for k, v in batch.items()}
    seen = run(adapted, name, one, key)[0][1][0]['seen']
    np.testing.assert_allclose(seen[0], stats['seen'][i], atol=1e-5)
  # The gradient is that at the fixed image: l is linear in w.
  assert float(grads['net']['w']) == pytest.approx(float(value) / 2.0, rel=1e-5)
  squares = [(s[m > 0] ** 2).mean() for s, m in zip(shift, batch['mask'], strict=True)]
  voxels = batch['mask'].sum((1, 2, 3))
  cost = np.mean(squares) if by_scan else np.average(squares, weights=voxels)
  assert float(metrics['rho_hat']) == pytest.approx(cost, rel=1e-4)
  assert float(metrics['phi']) == pytest.approx(float(value) - GAMMA * cost, rel=1e-4)


def test_only_the_named_or_all_training_objectives_see_moved_scans(key):
  method, _ = linear()
  batch = brains()

  def moved(adapted):
    seen = {n: run(adapted, n, batch, key)[0][1][0]['seen'] for n in method.objectives}
    return [n for n, image in seen.items() if not np.array_equal(image, batch['image'])]

  assert moved(wrm.make(gamma=GAMMA)(method)) == ['first', 'second']
  assert moved(wrm.make(('second',), gamma=GAMMA)(method)) == ['second']


def test_fields_leave_the_background_and_move_the_brain(key):
  method, _ = linear()
  batch = brains()
  batch['image'] = np.abs(batch['image']) + 0.1  # the background too
  adapted = wrm.make(('first',), gamma=5.0, space='field', nodes=3)(method)
  (value, (stats, metrics)), _ = run(adapted, 'first', batch, key)
  seen, inside = np.asarray(stats['seen']), batch['mask'] > 0
  np.testing.assert_array_equal(seen[~inside], batch['image'][~inside])
  assert np.abs(seen[inside] - batch['image'][inside]).max() > 1e-2
  plain = run(method, 'first', batch, key)[0][0]
  assert float(value) > float(plain) and float(metrics['phi']) > float(plain)


def test_denoising_compares_the_moved_reconstruction_with_the_clean_image(key):
  method, _ = linear()
  batch = brains()
  image, mask = batch['image'], batch['mask']
  gamma = 9.0
  adapted = wrm.make(('first',), gamma=gamma, loss='denoising', steps=60)(method)
  (value, (stats, metrics)), grads = run(adapted, 'first', batch, key)
  # l = (w x - x0)^2 with w = 2: w (w x - x0) = gamma (x - x0), by hand.
  x = (gamma - 2.0) * image / (gamma - 4.0)
  expected = ((2.0 * x - image)[mask > 0] ** 2).mean()
  assert float(value) == pytest.approx(expected, rel=1e-3)
  slope = 2 * ((2.0 * x - image) * x)[mask > 0].mean()
  assert float(grads['net']['w']) == pytest.approx(slope, rel=1e-3)
  np.testing.assert_array_equal(stats['seen'], image)  # statistics see clean images
  assert 'plain' in metrics
  mixed = wrm.make(('first',), gamma=gamma, loss='denoising', steps=60, clean=0.25)(
    method
  )
  (mixture, _), _ = run(mixed, 'first', batch, key)
  plain = float(run(method, 'first', batch, key)[0][0])
  assert float(mixture) == pytest.approx(0.75 * float(value) + 0.25 * plain, rel=1e-4)


def test_the_clean_loss_has_its_weight(key):
  method, _ = linear()
  batch = brains()
  values = [
    float(run(wrm.make(('first',), GAMMA, clean=c)(method), 'first', batch, key)[0][0])
    for c in (0.0, 0.5, 1.0)
  ]
  assert values[2] == pytest.approx(float(run(method, 'first', batch, key)[0][0]))
  assert (
    values[1] == pytest.approx((values[0] + values[2]) / 2) and values[0] > values[2]
  )


def test_the_certificate_of_a_linear_method_is_its_closed_form(key):
  method, slope = linear()
  batch = brains()
  params, stats = method.init(key, batch)
  radii = (0.0, 0.2, 2.0)
  options = wrm.Options(gamma=GAMMA)
  report = wrm.certify(method, 'first', params, stats, batch, key, radii, options)
  inside = batch['mask'] > 0
  g = 2.0 * np.broadcast_to(slope(batch['image']), inside.shape)[inside]
  plain = (g * batch['image'][inside]).mean()
  # phi = l(x0) + mean g^2 / (4 gamma).
  bounds = GAMMA * np.array(radii) + plain + (g**2).mean() / (4 * GAMMA)
  np.testing.assert_allclose(report.bounds, bounds, rtol=1e-4)
  worst = plain + np.sqrt(np.array(radii) * (g**2).mean())  # by Cauchy-Schwarz
  assert (np.asarray(report.bounds) >= worst - 1e-5).all()
  with pytest.raises(ValueError, match="unknown training objective 'fitted'"):
    wrm.certify(method, 'fitted', params, stats, batch, key, radii, options)


@pytest.mark.parametrize(
  'name, options',
  [
    ('vae', dict()),
    ('denoising_ae', dict(loss='denoising', space='field')),
    *(
      pytest.param(name, options, marks=pytest.mark.slow)
      for name in ('vae', 'denoising_ae')
      for options in (dict(loss='denoising'), dict(space='field'))
    ),
  ],
)
def test_methods_train_on_randomised_and_then_moved_scans(key, name, options):
  shape, settings, _ = ROWS[name]
  plain = named('methods', name)(shape, channels=1, **settings)
  method = randomise.make()(wrm.make(gamma=50.0, steps=3, **options)(plain))
  batch = make_batch(shape)
  (label,) = method.objectives
  tx = {label: optax.adam(1e-3)}
  state = jax.jit(lambda key: init_state(method, tx, key, batch))(key)
  before = jax.device_get(state.params)
  state, metrics = make_update(method, tx, (3,))((label,))(state, {'train': batch}, key)
  assert all(np.isfinite(v).all() for v in jax.tree.leaves((state.params, metrics)))
  changed = [
    not np.array_equal(a, b)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(state.params), strict=True)
  ]
  assert any(changed)
  assert float(metrics[f'{label}/rho_hat']) > 0


def test_networks_and_losses_with_a_kink_are_refused(key):
  batch = make_batch((16, 16))
  for name, words in (('skip_ae', 'abs, leaky_relu, relu'), ('ae', 'abs')):
    shape, settings, _ = ROWS[name]
    method = named('methods', name)(shape, channels=1, **settings)
    with pytest.raises(
      ValueError, match=f"'autoencoder' contains {words}; allowed are"
    ):
      jax.eval_shape(lambda key, m=method: wrm.make()(m).init(key, batch), key)
  denoising = wrm.make(loss='denoising')(method)  # 'ae': its networks are smooth
  jax.eval_shape(lambda key: denoising.init(key, batch), key)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (dict(gamma=0), 'wrm: gamma is 0; allowed is a number above 0'),
    (dict(steps=-1), 'wrm: steps is -1; allowed is a whole number of 0 or more'),
    (dict(loss='mse'), "wrm: unknown loss 'mse'; there are elbo, denoising"),
    (dict(space='voxel'), "wrm: unknown space 'voxel'; there are pixel, field"),
    (dict(nodes=1), 'wrm: nodes is 1; allowed is a whole number of 2 or more'),
    (dict(clean=2), 'wrm: clean is 2; allowed is a number from 0 to 1'),
    (dict(objectives=('third',)), "objective 'third'; there are first, second"),
    (dict(loss='denoising'), "'denoising' needs the name .*; there are first, second"),
  ],
)
def test_an_option_out_of_range_is_named(options, message):
  method, _ = linear()
  with pytest.raises(ValueError, match=message):
    wrm.make(**options)(method)
