"""Likelihood of a linear auto-encoder, which is known, and the losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi, multivariate_normal, norm

from tests.method_table import make_batch
from uad_jax.methods import gpnd
from uad_jax.methods.families import latent_vector, manifold_density

SHAPE = (16, 16)
TINY = dict(widths=(8, 8), latent=2, image_critic=(4, 4), latent_critic=(4,))
SIZE, STRETCH, NOISE = 16, np.array([3.0, 0.5, 1.5]), 0.2


def known_model():
  """Columns of the decoder A = U S V' [16, 3], and the covariance of the images."""
  random = np.random.default_rng(0)
  basis = np.linalg.qr(random.standard_normal((SIZE, SIZE)))[0]
  turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
  columns = basis[:, :3] * STRETCH @ turn.T
  beside = basis[:, 3:]
  return columns, columns @ columns.T + NOISE**2 * beside @ beside.T


def linear(columns):
  """The auto-encoder z = A^+ x, x' = A z on a grid of 4 x 4."""
  inverse = jnp.float32(np.linalg.pinv(columns))
  return latent_vector.Coder(
    init=lambda key, image: {'encoder': jnp.zeros(1), 'decoder': jnp.zeros(1)},
    encode=lambda params, x: x.reshape(len(x), -1) @ inverse.T,
    decode=lambda params, z: (z @ jnp.float32(columns).T).reshape(-1, 4, 4, 1),
    features=lambda params, x: x,
  )


def batch_of(values):
  return {
    'image': jnp.float32(values).reshape(-1, 4, 4, 1),
    'mask': jnp.ones((len(values), 4, 4, 1)),
    'position': jnp.zeros(len(values)),
    'weight': jnp.ones(len(values)),
  }


def test_the_part_on_the_manifold_has_its_true_density(key):
  columns, _ = known_model()
  z = np.asarray(jax.random.normal(key, (5, 3)))
  batch = batch_of(z @ columns.T)
  volume = manifold_density.log_volume(
    lambda x: linear(columns).encode({}, x), batch['image'], batch['mask']
  )
  # Oracle: coordinates in an orthonormal basis of the manifold are N(0, S^2).
  basis = np.linalg.svd(columns, full_matrices=False)[0]
  coordinates = (z @ columns.T) @ basis
  covariance = basis.T @ columns @ columns.T @ basis
  expected = multivariate_normal(np.zeros(3), covariance).logpdf(coordinates)
  np.testing.assert_allclose(volume + norm.logpdf(z).sum(-1), expected, rtol=1e-3)
  np.testing.assert_allclose(volume, -np.log(STRETCH).sum(), rtol=1e-3)


def test_the_volume_is_that_of_the_brain_alone(key):
  columns, _ = known_model()
  batch = batch_of(jax.random.normal(key, (2, SIZE)))
  mask = batch['mask'].at[:, 2:].set(0)
  volume = manifold_density.log_volume(
    lambda x: linear(columns).encode({}, x), batch['image'], mask
  )
  jacobian = np.linalg.pinv(columns)[:, : SIZE // 2]
  expected = 0.5 * np.linalg.slogdet(jacobian @ jacobian.T)[1]
  np.testing.assert_allclose(volume, [expected] * 2, rtol=1e-3)


def test_normal_noise_beside_the_manifold_has_its_true_density():
  norms, dimensions = np.array([0.5, 2.0, 9.0]), 13
  log_p = chi(dimensions, scale=0.7).logpdf(norms)
  values = manifold_density.log_beside(
    jnp.float32(norms), jnp.float32(log_p), jnp.full(3, 13.0)
  )
  place = np.zeros((3, dimensions))
  place[:, 0] = norms
  expected = norm(scale=0.7).logpdf(place).sum(-1)
  np.testing.assert_allclose(values, expected, rtol=1e-3)


def test_the_fitted_likelihood_is_that_of_the_normal_data(key, monkeypatch):
  columns, covariance = known_model()
  monkeypatch.setattr(latent_vector, 'study', lambda *a: linear(columns))
  method = gpnd.make(
    (4, 4), widths=(4,), latent=3, image_critic=(2,), latent_critic=(2,), power=1.0
  )
  draws = np.random.default_rng(1).multivariate_normal(
    np.zeros(SIZE), covariance, size=12_000
  )
  train, test = batch_of(draws[:10_000]), batch_of(draws[10_000:])
  params, stats = method.init(key, test)
  for name in ('centre', 'density'):
    _, (stats, _) = jax.jit(method.objectives[name].loss)(params, stats, train, key, 0)
  found = jax.jit(method.infer)(params, stats, test, key)['log_density']
  expected = multivariate_normal(np.zeros(SIZE), covariance).logpdf(draws[10_000:])
  error = np.asarray(found) - expected
  assert abs(error.mean()) < 0.1 and np.abs(error).mean() < 0.25
  assert np.corrcoef(found, expected)[0, 1] > 0.98


def test_statistics_leave_out_padding(key):
  batch = make_batch(SHAPE)
  method = gpnd.make(SHAPE, **TINY)
  params, stats = jax.jit(method.init)(key, batch)
  losses = [jax.jit(method.objectives[n].loss) for n in ('centre', 'density')]

  def fitted(batch):
    after = stats
    for loss in losses:
      _, (after, _) = loss(params, after, batch, key, 0)
    return after['density']

  padded = {k: np.array(v) for k, v in batch.items()}
  padded['weight'][3] = 0
  changed = {**padded, 'image': padded['image'].copy()}
  changed['image'][3] = 50.0
  changed['image'] += 9 * (1 - changed['mask'])  # the background
  once, again = fitted(padded), fitted(changed)
  assert float(once['count']) == 3 == float(once['bins'].sum())
  for name in once:
    np.testing.assert_allclose(once[name], again[name], rtol=1e-4, atol=1e-5)


def test_the_auto_encoders_loss_is_its_formula(key):
  batch = make_batch(SHAPE)
  method = gpnd.make(SHAPE, **TINY, weight=7.0)
  params, stats = jax.jit(method.init)(key, batch)
  loss = jax.jit(method.objectives['autoencoder'].loss)
  value, (_, terms) = loss(params, stats, batch, key, 0)
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  square = np.float64(batch['image'] - outputs['reconstruction']) ** 2
  mse = (square * batch['mask']).sum() / batch['mask'].sum()
  layers = params['latent_critic']
  z = np.float64(outputs['latent']) @ layers['Dense_0']['kernel']
  z = z + layers['Dense_0']['bias'][None]
  hidden = np.where(z > 0, z, 0.2 * z)
  odds = (hidden @ layers['Dense_1']['kernel'])[:, 0] + layers['Dense_1']['bias'][0]
  adversarial = np.log1p(np.exp(-odds)).mean()
  assert float(value) == pytest.approx(7 * mse + adversarial, rel=1e-3)


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(weight=0.0), 'gpnd: weight is 0.0; allowed is'),
    (dict(power=1.5), 'gpnd: power is 1.5; allowed is'),
    (dict(bins=1), 'gpnd: bins is 1; allowed is'),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    gpnd.make(SHAPE, **options)
