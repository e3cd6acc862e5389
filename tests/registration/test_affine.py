import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import ndimage

from tests.data.heads import TO_SCAN, head, worst
from uad_jax.data.preprocessing import brainmask, grid
from uad_jax.data.preprocessing.steps.to_template import template_head
from uad_jax.ops import affine_matrix
from uad_jax.registration import affine, affine_problem

SPACING = 6.0
CONTRASTS = {
  't1': lambda v: v,
  'inverted': lambda v: 1.3 - v,
  't2': lambda v: 0.2 + 3 * (v - 0.6) ** 2,  # fluid bright, white above grey
}


@pytest.fixture(scope='module')
def brain():
  """The head of `heads` at 6 mm, stripped: values in about [0, 1], mask, affine."""
  image, labels, native = head()
  mask = brainmask.from_labels(labels, grid.spacing(native))
  shape, coarse = grid.respaced(image.shape, native, (SPACING,) * 3)
  shape = tuple(n + n % 2 for n in shape)
  to_native = np.linalg.inv(native) @ coarse
  values = grid.sample(image / 1000, to_native, shape, antialias=True)
  return values, grid.sample_mask(mask, to_native, shape), coarse


@pytest.fixture(scope='module')
def images(brain):
  values, mask, _ = brain
  table = {k: np.where(mask, f(values), 0) for k, f in CONTRASTS.items()}
  return table | {'moved': np.roll(table['t1'], (2, -1), (0, 2))}


@pytest.fixture(scope='module')
def register(brain, images):
  """Registers the images of these names as one batch."""
  fixed, fixed_at = template_head(SPACING)

  def run(names, **options):
    same = [np.repeat(a[None], len(names), 0) for a in (brain[2], fixed, fixed_at)]
    return affine.register(np.stack([images[n] for n in names]), *same, **options)

  return run


def matrix(found, i=0):
  return np.asarray(found.matrix[i], np.float64)


@pytest.mark.parametrize(
  'degrees, levels, tolerance',
  [
    pytest.param(12, 2, 1.2, marks=pytest.mark.slow),
    pytest.param(9, 1, 6.0, marks=pytest.mark.slow),
    pytest.param(6, 1, 14.0, marks=pytest.mark.slow),
  ],
)
def test_the_known_affine_is_found(register, degrees, levels, tolerance):
  # Oracle: the head was made by TO_SCAN, which has scales and shears.
  found = register(['t1'], similarity='ncc', degrees=degrees, levels=levels)
  assert worst(matrix(found), TO_SCAN) < tolerance
  assert found.similarity[0] > 0.93
  scales = np.linalg.svd(matrix(found)[:3, :3], compute_uv=False)
  assert (abs(scales - 1).max() < 1e-5) == (degrees == 6)


@pytest.mark.slow
def test_mutual_information_needs_no_t1(register, optimised):
  found = register(['inverted', 't2'], levels=1)
  for i in range(2):
    assert worst(matrix(found, i), TO_SCAN) < 1.5


@pytest.mark.slow
def test_subjects_do_not_meet(register):
  names = ['t1', 'moved']
  options = {'similarity': 'ncc', 'degrees': 6, 'levels': 1}
  both = register(names, **options)
  for i, name in enumerate(names):
    alone = register([name], **options)
    assert worst(matrix(both, i), matrix(alone)) < 0.1
    np.testing.assert_allclose(both.similarity[i], alone.similarity[0], atol=1e-4)
  assert worst(matrix(both, 0), matrix(both, 1)) > 10


@pytest.mark.slow
def test_what_was_reached_can_be_measured(brain, images, register):
  found = register(['t1'], similarity='ncc', degrees=6, levels=1)
  arrays = (images['t1'], brain[2], *template_head(SPACING))
  arrays = [np.asarray(a)[None] for a in arrays]
  again = affine.measure(found.matrix, *arrays, similarity='ncc')
  np.testing.assert_allclose(again, found.similarity, atol=1e-4)


@pytest.mark.parametrize('similarity', ['ncc', 'mutual_information'])
def test_gradients(similarity):
  rng = np.random.default_rng(1)
  smooth = ndimage.gaussian_filter(rng.random((2, 16, 16, 16)), (0, 2, 2, 2))
  smooth = (smooth - smooth.min()) / np.ptp(smooth)
  middle = np.eye(4)
  middle[:3, 3] = -7.5
  moving, fixed, before = (jnp.asarray(a, jnp.float32) for a in (*smooth, middle))
  after, weight = jnp.linalg.inv(before), jnp.ones(fixed.shape)
  scale = np.repeat(np.float32([0.5, 0.05, 0.05, 0.05]), 3)

  @jax.jit
  def loss(free, moving):
    problem = affine_problem.Problem(moving, fixed, weight, before, after)
    transform = affine_matrix.matrix(scale * free)
    return affine_problem.agreement(transform, problem, similarity)

  free = rng.normal(0, 0.5, 12).astype('float32')
  check_grads(loss, (free, moving), 1, ('rev',), atol=1e-2, rtol=3e-2, eps=2e-2)
  flat = jax.grad(loss, (0, 1))(free, jnp.zeros_like(moving))
  assert all(jnp.isfinite(g).all() for g in flat)


@pytest.mark.parametrize(
  'options, says',
  [
    ({'similarity': 'mi'}, "similarity='mi'; allowed are"),
    ({'degrees': 7}, r'degrees=7; allowed are \(6, 9, 12\)'),
    ({'levels': 4}, 'levels=4 has grids with sizes .* allowed are multiples of 8'),
  ],
)
def test_what_is_allowed_is_named(options, says):
  image, at = np.zeros((1, 12, 8, 8), np.float32), np.eye(4)[None]
  with pytest.raises(ValueError, match=says):
    affine.register(image, at, image, at, **options)
