"""The variational auto-encoder after the study, and the parts of its ELBO."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as stats_of

from tests.long_variants import all_but
from tests.method_table import make_batch
from uad_jax.methods import vae
from uad_jax.nets.baur2021 import StudyEncoding

TINY = dict(widths=(8, 16), latent=4, architecture='study', beta=1.0, warm_up=0)
SHAPE = (16, 16)


def test_the_studys_parameter_count():
  # Golden: Baur et al. 2021, counted from the layers at 128 x 128 (method card 1.1).
  method = vae.make((128, 128), latent=128, architecture='study')
  params, _ = jax.eval_shape(method.init, jax.random.key(0), make_batch((128, 128), 1))
  assert sum(x.size for x in jax.tree.leaves(params)) == 1_756_977
  assert set(params) == {'encoder', 'decoder'}


def silent_decoder(params):
  """The parameters with a decoder of zeros: whatever z is, the image is zero."""
  return {**params, 'decoder': jax.tree.map(jnp.zeros_like, params['decoder'])}


def test_the_loss_is_the_studys_with_kl_in_closed_form(key):
  method, batch = vae.make(SHAPE, **TINY), make_batch(SHAPE, 3)
  batch['weight'][2] = 0
  params, stats = jax.jit(method.init)(key, batch)
  params = silent_decoder(params)
  value, (_, parts) = jax.jit(method.objectives['vae'].loss)(
    params, stats, batch, key, 0
  )
  outputs = jax.device_get(jax.jit(method.infer)(params, stats, batch, key))
  # Oracle: 1/2 sum(mean^2 + sigma^2 - log sigma^2 - 1) in float64, the log deviation
  # from the encoder's second head.
  heads = StudyEncoding(TINY['widths'], TINY['latent'], heads=2)
  mean, log_deviation = heads.apply({'params': params['encoder']}, batch['image'])
  mean, log_deviation = np.float64(mean), np.float64(log_deviation)
  kl = 0.5 * (mean**2 + np.exp(2 * log_deviation) - 2 * log_deviation - 1).sum(-1)
  rec = np.float64(np.abs(batch['image']) * batch['mask']).sum((1, 2, 3))
  np.testing.assert_allclose(outputs['kl'], kl, rtol=1e-4)
  np.testing.assert_allclose(outputs['rec'], rec, rtol=1e-4)
  np.testing.assert_allclose(outputs['elbo'], -rec - kl, rtol=1e-4)
  np.testing.assert_allclose(value, (rec + kl)[:2].mean(), rtol=1e-4)
  np.testing.assert_allclose(parts['kl'], kl[:2].mean(), rtol=1e-4)


def test_the_elbo_is_of_the_predicted_likelihood(key):
  options = {**TINY, 'architecture': 'default', 'beta': 1e-3}
  method, batch = vae.make(SHAPE, **options), make_batch(SHAPE, 3)
  params, stats = jax.jit(method.init)(key, batch)
  outputs = jax.device_get(jax.jit(method.infer)(params, stats, batch, key))
  # Oracle: scipy's normal log-density of the brain's voxels, without its constant.
  spread = np.exp(0.5 * np.float64(outputs['reconstruction_log_variance']))
  inside = batch['mask'] > 0.5
  density = stats_of.norm.logpdf(batch['image'], outputs['reconstruction'], spread)
  density += 0.5 * np.log(2 * np.pi)
  rec = -np.where(inside, density, 0.0).sum((1, 2, 3))
  np.testing.assert_allclose(outputs['rec'], rec, rtol=1e-4)
  np.testing.assert_allclose(outputs['elbo'], -rec - outputs['kl'], rtol=1e-4)


def test_the_ramp_of_the_kl_and_its_absence(key):
  batch = make_batch(SHAPE, 2)
  for warm_up, step, share in ((0, 0, 1.0), (10, 0, 0.0), (10, 5, 0.5), (10, 20, 1.0)):
    method = vae.make(SHAPE, **{**TINY, 'warm_up': warm_up, 'beta': 2.0})
    params, stats = jax.jit(method.init)(key, batch)
    value, (_, parts) = jax.jit(method.objectives['vae'].loss)(
      params, stats, batch, key, jnp.array(step)
    )
    np.testing.assert_allclose(value, parts['nll'] + 2 * share * parts['kl'], rtol=1e-5)


@pytest.mark.parametrize('architecture', all_but(vae.MISFITS, ['default']))
def test_dropout_is_on_at_inference_only_if_bayesian(architecture):
  batch, (a, b) = make_batch(SHAPE, 2), jax.random.split(jax.random.key(3))
  options = {**TINY, 'architecture': architecture, 'dropout': 0.5}
  found = {}
  for bayesian in (False, True):
    method = vae.make(SHAPE, **options, bayesian=bayesian)
    params, stats = jax.jit(method.init)(a, batch)
    found[bayesian] = [
      np.asarray(jax.jit(method.infer)(params, stats, batch, k)['reconstruction'])
      for k in (a, b)
    ]
  np.testing.assert_array_equal(*found[False])
  assert not np.allclose(*found[True], atol=1e-6)


def test_yous_likelihood_trains_and_its_square_restores(key):
  method = vae.make(SHAPE, **{**TINY, 'architecture': 'you2019'})
  batch = make_batch(SHAPE, 3)
  batch['weight'][2] = 0
  params, stats = jax.jit(method.init)(key, batch)
  head = params['encoder']['Conv_0']  # means beside log-variances
  head['bias'] = head['bias'].at[4:].add(-50.0)  # a draw is its mean
  outputs = jax.device_get(jax.jit(method.infer)(params, stats, batch, key))
  mean, spread = outputs['reconstruction'], outputs['reconstruction_log_variance']
  assert spread.shape == mean.shape and spread.max() <= 0 < spread.std()
  assert outputs['latent'].shape == (3, 4, 4, 4)
  # Oracle: the formulas in float64, scipy's density of a normal without its constant.
  square = (np.float64(batch['image'] - mean) ** 2 * batch['mask']).sum((1, 2, 3))
  np.testing.assert_allclose(outputs['rec'], square, rtol=1e-5)
  log = stats_of.norm(mean, np.exp(np.float64(spread) / 2)).logpdf(batch['image'])
  want = ((-log - 0.5 * np.log(2 * np.pi)) * batch['mask']).sum((1, 2, 3))
  value, (_, parts) = jax.jit(method.objectives['vae'].loss)(
    params, stats, batch, key, jnp.array(0)
  )
  np.testing.assert_allclose(parts['nll'], want[:2].mean(), rtol=1e-2, atol=0.05)
  np.testing.assert_allclose(parts['kl'], outputs['kl'][:2].mean(), rtol=1e-4)
  np.testing.assert_allclose(value, parts['nll'] + parts['kl'], rtol=1e-5)


@pytest.mark.parametrize('architecture', ['study', 'you2019'])
@pytest.mark.parametrize('shape', [(16, 8), (8, 16, 8)])
def test_two_and_three_dimensions(shape, architecture):
  options = {**TINY, 'architecture': architecture}
  method, batch = vae.make(shape, **options), make_batch(shape, 2)

  def run(key):
    params, stats = method.init(key, batch)
    return method.infer(params, stats, batch, key)

  outputs = jax.eval_shape(run, jax.random.key(0))
  assert outputs['reconstruction'].shape == batch['image'].shape
  grid = tuple(n // 4 for n in shape) if architecture == 'you2019' else ()
  assert outputs['latent'].shape == (2, *grid, 4)
  assert outputs['kl'].shape == outputs['rec'].shape == outputs['elbo'].shape == (2,)


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    (dict(architecture='unet'), "unknown architecture 'unet'; there are default"),
    (dict(bayesian=True), 'bayesian inference needs a dropout above 0'),
  ],
)
def test_what_is_not_possible_is_told(wrong, sentence):
  with pytest.raises(ValueError, match=sentence):
    vae.make(SHAPE, **wrong)
