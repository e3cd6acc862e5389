"""One table over all estimators of uncertainty, on a toy that is random on one side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.augmentation import image_transforms
from uad_jax.method import bind
from uad_jax.scores import uncertainty
from uad_jax.uncertainty import estimators, rigid_motion

SHAPE = (2, 12, 12, 2)
SIDE = np.zeros(SHAPE, 'float32')
SIDE[:, :, 6:] = 1.0

TABLE = {
  # estimator: (options, options with which nothing is random)
  'draws': ({}, {}),
  'members': ({}, {}),
  'augmented': ({}, dict(gamma=0.0, gain=0.0, noise=0.0)),
  'transformed': ({}, dict(shift=0)),
  'predicted': ({}, {}),
}


def toy(noisy):
  """A method that is random, unstable and not equivariant in half of the image."""

  def infer(batch, key):
    image = batch['image']
    noise = jax.random.normal(key, (5, *SHAPE))
    unstable = noisy * SIDE * (image + jnp.linspace(0, 1, 12).reshape(1, -1, 1, 1))
    mean = image + 0.5 + unstable
    return {
      'reconstruction': mean + 0.3 * noisy * SIDE * noise[0],
      'reconstruction_members': jnp.moveaxis(
        mean[None] + 0.3 * noisy * SIDE[None] * noise, 0, 1
      ),
      'reconstruction_log_variance': jnp.log(0.09 * noisy * SIDE),
    }

  return infer


def batch_of(key):
  image = jax.random.uniform(key, SHAPE, minval=0.2, maxval=1.0)
  return {'image': image, 'mask': jnp.ones((*SHAPE[:-1], 1))}


def test_every_estimator_has_a_row():
  assert set(TABLE) == set(estimators.ESTIMATORS)


@pytest.mark.parametrize('name', TABLE)
def test_shapes_and_determinism_by_the_key(name, key):
  estimator, batch = estimators.make(name, **TABLE[name][0]), batch_of(key)
  mean, covariance = estimator.moments(toy(1.0), batch, key)
  assert mean.shape == SHAPE and covariance.shape == (*SHAPE, 2)
  assert np.isfinite(mean).all() and np.isfinite(covariance).all()
  again = estimator.moments(toy(1.0), batch, key)
  jax.tree.map(np.testing.assert_array_equal, (mean, covariance), again)
  if name != 'predicted':
    other = estimator.moments(toy(1.0), batch, jax.random.fold_in(key, 1))
    assert np.abs(mean - other[0]).max() > 1e-4


@pytest.mark.parametrize('name', [name for name in TABLE if name != 'predicted'])
def test_the_moments_are_those_of_the_samples(name, key):
  estimator, batch = estimators.make(name, **TABLE[name][0]), batch_of(key)
  mean, covariance = estimator.moments(toy(1.0), batch, key)
  drawn = np.asarray(estimator.samples(toy(1.0), batch, key))
  assert drawn.shape[1:] == SHAPE
  np.testing.assert_allclose(mean, drawn.mean(0), atol=1e-5)
  want = np.cov(drawn[:, 1, 3, 8].T)  # oracle: numpy.cov
  np.testing.assert_allclose(covariance[1, 3, 8], want, atol=1e-5)


@pytest.mark.parametrize('name', TABLE)
def test_no_uncertainty_where_nothing_is_random(name, key):
  estimator = estimators.make(name, **TABLE[name][1])
  _, covariance = estimator.moments(toy(0.0), batch_of(key), key)
  np.testing.assert_allclose(covariance, 0.0, atol=1e-10)


@pytest.mark.parametrize('name', TABLE)
def test_uncertainty_is_larger_on_the_random_side(name, key):
  score = uncertainty.make(name, 'deviation', **TABLE[name][0])
  deviation = np.asarray(score(toy(1.0), batch_of(key), key))
  assert deviation.shape == (*SHAPE[:-1], 1)
  quiet, random = deviation[:, 4:-4, 2:4], deviation[:, 4:-4, 7:-3]
  assert random.min() > 0 and random.mean() > 1.5 * quiet.mean()


@pytest.mark.parametrize('name', TABLE)
def test_the_standardised_residual_is_lower_on_the_random_side(name, key):
  batch = batch_of(key)

  def score(kind, **options):
    make = uncertainty.make(name, kind, **options, **TABLE[name][0])
    return np.asarray(make(toy(1.0), batch, key))

  ratio = score('mahalanobis', floor=0.1) / np.maximum(score('mean'), 1e-6)
  assert ratio[:, 4:-4, 7:-3].mean() < ratio[:, 4:-4, 2:4].mean()


def test_the_total_variance_is_the_sum(key):
  batch = batch_of(key)

  def variance(**options):
    return uncertainty.make(kind='variance', **options)(toy(1.0), batch, key)

  parts = variance(estimator='draws') + variance(estimator='predicted')
  np.testing.assert_allclose(
    variance(estimator='draws', predicted=True), parts, rtol=1e-4, atol=1e-6
  )


@pytest.mark.parametrize(
  'options, message',
  [
    (dict(estimator='magic'), "unknown estimator 'magic'; there are draws, members"),
    (dict(estimator='members', samples=3), "members: unknown option 'samples'"),
    (dict(estimator='predicted', predicted=True), 'variance of the method already'),
    (dict(estimator='predicted', kind='mahalanobis_full'), 'needs samples'),
    (dict(of='displacement'), "'displacement' there are variance, deviation"),
    (dict(estimator='draws', samples=1), 'samples is 1; allowed is .* 2 or more'),
    (dict(estimator='transformed', template='fixed'), "for the output 'displacement'"),
    (dict(estimator='transformed', shift=-1), 'shift is -1; allowed'),
  ],
)
def test_options_that_do_not_fit_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    uncertainty.make(**options)


def test_an_output_that_is_missing_is_named(key):
  with pytest.raises(ValueError, match='needs prior_members; this'):
    uncertainty.make('members', of='prior')(toy(1.0), batch_of(key), key)


@pytest.mark.parametrize('d', [2, 3])
def test_a_motion_and_its_inverse_are_the_identity(d, key):
  shape = (9, 8, 7)[:d]
  motion = rigid_motion.draw(key, 3, d, 2, 0.0, True)
  image = jnp.zeros((3, *shape, 1)).at[(slice(None), *(slice(3, 5),) * d)].set(1.0)
  image = image * jnp.linspace(0.5, 1, shape[0]).reshape(1, -1, *(1,) * d)
  seen = image_transforms.moved({'image': image, 'mask': jnp.ones_like(image)}, *motion)
  back = rigid_motion.moved_back(seen['image'], motion)
  np.testing.assert_allclose(back, image, atol=1e-5)
  linear, _ = rigid_motion.draw(key, 3, d, 0, 20.0, False)
  np.testing.assert_allclose(jnp.linalg.det(linear), 1.0, rtol=1e-5)
  if d == 2:
    turned = jnp.einsum('bij,bkj->bik', linear, linear)
    np.testing.assert_allclose(turned, jnp.tile(jnp.eye(2), (3, 1, 1)), atol=1e-5)


@pytest.mark.parametrize('template', rigid_motion.TEMPLATES)
def test_fields_of_equivariant_registrations_do_not_vary(template, key):
  """Registration of a shift s: of a fixed image, or of one that moves with the scan."""
  shift = jnp.array([1.0, -0.5])

  def infer(batch, key):
    # The scan is a linear ramp of each coordinate, so its place can be read from it.
    place = batch['image']
    here = jnp.stack(jnp.meshgrid(*[jnp.arange(12.0)] * 2, indexing='ij'), -1)[None]
    fixed = place + shift.reshape(1, 1, 1, 2) - here
    if template == 'fixed':
      return {'displacement': fixed}
    # The same pull at each place of the anatomy, seen from the moved axes.
    across = place[:, 6:7, 6:7] - place[:, 5:6, 6:7]
    along = place[:, 6:7, 6:7] - place[:, 6:7, 5:6]
    axes = jnp.stack([across, along], -1)  # A, columns are the moved axes
    pull = jnp.linalg.solve(axes, shift.reshape(1, 1, 1, 2, 1))[..., 0]
    return {'displacement': jnp.broadcast_to(pull, place.shape)}

  ramp = jnp.stack(jnp.meshgrid(*[jnp.arange(12.0)] * 2, indexing='ij'), -1)
  batch = {
    'image': jnp.tile(ramp[None], (2, 1, 1, 1)),
    'mask': jnp.ones((2, 12, 12, 1)),
  }
  estimator = estimators.transformed(
    'displacement', samples=6, shift=2, mirror=True, template=template
  )
  mean, covariance = estimator.moments(infer, batch, key)
  inner = (slice(None), slice(3, -3), slice(3, -3))
  np.testing.assert_allclose(covariance[inner], 0.0, atol=1e-6)
  np.testing.assert_allclose(
    mean[inner], jnp.broadcast_to(shift, mean[inner].shape), atol=1e-4
  )


def test_contrast_is_undone(key):
  image = jax.random.uniform(key, (3, 4, 4, 1), minval=0.1)
  a, b = jnp.array([0.3, -0.2, 0.0]), jnp.array([0.1, 0.5, -0.4])
  seen = image_transforms.curved(image, a, b)
  back = image_transforms.curved(seen, -a, -b * jnp.exp(-a))
  np.testing.assert_allclose(back, image, rtol=1e-5)


def test_estimators_work_on_a_bound_method(key):
  """Outside the brain the expected images are the scan, as for all scorers."""
  from tests.method_table import trained

  method, batch, _, state, _, _ = trained('vae')
  infer = bind(method, state.params, state.stats)
  score = uncertainty.make('draws', 'deviation', of='sampled', samples=3)
  deviation = np.asarray(score(infer, batch, key))
  assert deviation[batch['mask'] > 0].mean() > 1e-5
  assert (deviation[batch['mask'] == 0] == 0).all()
  plain = uncertainty.make('draws', 'deviation', samples=3)(infer, batch, key)
  np.testing.assert_array_equal(plain, 0.0)  # the mean of z is decoded
