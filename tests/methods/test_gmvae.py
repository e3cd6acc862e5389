"""The mixture's densities against scipy, its loss against float64, its free bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from tests.method_table import make_batch
from uad_jax.methods import gmvae
from uad_jax.nets import gmvae as gm
from uad_jax.ops import gaussian_mixture

TINY = dict(widths=(8, 16), latent=3, latent_w=2, clusters=4, hidden=5)
SHAPE = (16, 16)


def draw(*shape, seed=0):
  rng = np.random.default_rng(seed)
  mean, log_variance = rng.normal(size=(2, *shape))
  return gaussian_mixture.Normal(mean.astype('float32'), log_variance.astype('float32'))


def test_the_cluster_posterior_is_that_of_scipys_densities():
  z, clusters = draw(6, 3).mean, draw(6, 4, 3, seed=1)
  # Oracle: scipy.stats.norm in float64, normalised by Bayes' rule.
  deviation = np.exp(np.float64(clusters.log_variance) / 2)
  log = (
    scipy.stats.norm(np.float64(clusters.mean), deviation).logpdf(z[:, None]).sum(-1)
  )
  posterior = np.exp(log - scipy.special.logsumexp(log, -1, keepdims=True))
  np.testing.assert_allclose(
    gaussian_mixture.log_density(z[:, None], clusters), log, rtol=1e-5
  )
  found = jnp.exp(gaussian_mixture.cluster_posterior(z, clusters))
  np.testing.assert_allclose(found, posterior, rtol=1e-4, atol=1e-7)


def test_kl_between_normals_is_the_integral():
  q, p = draw(5, 1), draw(5, 1, seed=1)
  # Oracle: numerical integration of q (log q - log p) with scipy.
  for i, found in enumerate(gaussian_mixture.kl_between(q, p)):
    a, b = (
      scipy.stats.norm(float(n.mean[i, 0]), float(np.exp(n.log_variance[i, 0] / 2)))
      for n in (q, p)
    )
    reach = a.mean() - 9 * a.std(), a.mean() + 9 * a.std()
    want, _ = scipy.integrate.quad(
      lambda t, a=a, b=b: a.pdf(t) * (a.logpdf(t) - b.logpdf(t)), *reach
    )
    np.testing.assert_allclose(found, want, rtol=1e-4)
  np.testing.assert_allclose(gaussian_mixture.kl_between(q, q), 0.0, atol=1e-6)


def test_kl_from_uniform_against_scipys_entropy():
  log = jax.nn.log_softmax(draw(5, 7).mean)
  want = scipy.stats.entropy(np.exp(np.float64(log)), np.full((5, 7), 1 / 7), axis=-1)
  np.testing.assert_allclose(gaussian_mixture.kl_uniform(log), want, rtol=1e-4)


@pytest.mark.parametrize(
  'bottleneck', ['dense', pytest.param('spatial', marks=pytest.mark.slow)]
)
def test_the_elbo_against_float64(bottleneck, key):
  method = gmvae.make(SHAPE, **TINY, bottleneck=bottleneck)
  batch = make_batch(SHAPE, 2)
  params, stats = jax.jit(method.init)(key, batch)
  outputs = jax.device_get(jax.jit(method.infer)(params, stats, batch, key))
  encoder = gm.Recognition(TINY['widths'], 3, 2, bottleneck)
  q_z, q_w = encoder.apply({'params': params['encoder']}, batch['image'])
  clusters = gm.Clusters(4, 3, 5).apply({'params': params['clusters']}, q_w.mean)
  (m_z, v_z), (m_w, v_w), (m_c, v_c) = (
    (np.float64(n.mean), np.exp(np.float64(n.log_variance)))
    for n in (q_z, q_w, clusters)
  )
  # Oracle: the formula of the docstring, by scipy's densities.
  log = scipy.stats.norm(m_c, np.sqrt(v_c)).logpdf(m_z[..., None, :]).sum(-1)
  c = scipy.special.softmax(log, -1)
  per = 0.5 * (
    (v_z[..., None, :] + (m_z[..., None, :] - m_c) ** 2) / v_c
    + np.log(v_c / v_z[..., None, :])
    - 1
  ).sum(-1)
  total = (c * per).sum(-1) + scipy.stats.entropy(c, np.full(c.shape, 0.25), axis=-1)
  total = total.reshape(2, -1).sum(-1)
  total += (0.5 * (m_w**2 + v_w - np.log(v_w) - 1)).reshape(2, -1).sum(-1)
  error = np.abs(batch['image'] - outputs['reconstruction']) * batch['mask']
  np.testing.assert_allclose(outputs['latent_c'], c, rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(outputs['kl'], total, rtol=1e-3)
  np.testing.assert_allclose(outputs['rec'], error.sum((1, 2, 3)), rtol=1e-4)
  np.testing.assert_allclose(outputs['elbo'], -outputs['rec'] - outputs['kl'])


@pytest.mark.parametrize('bottleneck, places', [('dense', 1), ('spatial', 16)])
def test_free_bits_hold_the_clusters_term_and_its_gradient(bottleneck, places, key):
  batch = make_batch(SHAPE, 3)
  batch['weight'][2] = 0
  slopes = {}
  for c_lambda in (0.0, 50.0):
    method = gmvae.make(SHAPE, **TINY, bottleneck=bottleneck, c_lambda=c_lambda)
    params, stats = jax.jit(method.init)(key, batch)

    def kl_c(params, method=method, stats=stats):
      _, (_, parts) = method.objectives['gmvae'].loss(params, stats, batch, key, 0)
      return parts['kl_c']

    value, slope = jax.jit(jax.value_and_grad(kl_c))(params)
    slopes[c_lambda] = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slope))
    if c_lambda:
      np.testing.assert_allclose(value, c_lambda * places, rtol=1e-6)
    else:
      assert value < places * np.log(4)
  assert slopes[50.0] == 0 < slopes[0.0]


@pytest.mark.parametrize(
  'bottleneck', ['dense', pytest.param('spatial', marks=pytest.mark.slow)]
)
@pytest.mark.parametrize('shape', [(16, 8), (8, 16, 8)])
def test_latents_in_two_and_three_dimensions(shape, bottleneck):
  method, batch = gmvae.make(shape, **TINY, bottleneck=bottleneck), make_batch(shape, 2)

  def run(key):
    params, stats = method.init(key, batch)
    return method.infer(params, stats, batch, key)

  outputs = jax.eval_shape(run, jax.random.key(0))
  grid = tuple(n // 4 for n in shape) if bottleneck == 'spatial' else ()
  assert outputs['reconstruction'].shape == batch['image'].shape
  assert outputs['latent'].shape == (2, *grid, 3)
  assert outputs['latent_w'].shape == (2, *grid, 2)
  assert outputs['latent_c'].shape == (2, *grid, 4)
  assert outputs['elbo'].shape == (2,)


def test_an_unknown_bottleneck_is_told():
  with pytest.raises(ValueError, match="unknown bottleneck 'wide'; there are dense"):
    gmvae.make(SHAPE, bottleneck='wide')


def test_an_unknown_architecture_is_told():
  with pytest.raises(ValueError, match="unknown architecture 'wide'; there are study"):
    gmvae.make(SHAPE, architecture='wide')


@pytest.mark.parametrize(
  'bottleneck', ['dense', pytest.param('spatial', marks=pytest.mark.slow)]
)
def test_yous_likelihood_trains_and_its_square_restores(bottleneck, key):
  method = gmvae.make(SHAPE, **TINY, bottleneck=bottleneck, architecture='you2019')
  batch = make_batch(SHAPE, 2)
  params, stats = jax.jit(method.init)(key, batch)
  outputs = jax.device_get(jax.jit(method.infer)(params, stats, batch, key))
  mean, spread = outputs['reconstruction'], outputs['reconstruction_log_variance']
  # Deviations are at most 1, and vary.
  assert spread.shape == mean.shape and spread.max() <= 0 < spread.std()
  # Oracle: the plain squared error, in float64.
  square = (np.float64(batch['image'] - mean) ** 2 * batch['mask']).sum((1, 2, 3))
  np.testing.assert_allclose(outputs['rec'], square, rtol=1e-5)
  # A posterior that has collapsed onto its mean: training and inference then see one z.
  encoder = params['encoder']
  last = encoder['ToVector_0'] if bottleneck == 'dense' else encoder
  head = last['Dense_1'] if bottleneck == 'dense' else last['Conv_1']
  assert head['bias'].shape == (5,)
  head['bias'] = head['bias'] - 50.0
  outputs = jax.device_get(jax.jit(method.infer)(params, stats, batch, key))
  loss = jax.jit(lambda p: method.objectives['gmvae'].loss(p, stats, batch, key, 0))
  _, (_, parts) = loss(params)
  # Oracle: scipy's density of a normal, without its constant.
  mean = np.float64(outputs['reconstruction'])
  deviation = np.exp(np.float64(outputs['reconstruction_log_variance']) / 2)
  log = scipy.stats.norm(mean, deviation).logpdf(batch['image'] * batch['mask'])
  want = ((-log - 0.5 * np.log(2 * np.pi)) * batch['mask']).sum((1, 2, 3)).mean()
  np.testing.assert_allclose(parts['rec'], want, rtol=1e-2, atol=0.05)
