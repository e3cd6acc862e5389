import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import interpolate, ndimage

from tests.data.heads import TO_SCAN, head, worst
from uad_jax.data.preprocessing import brainmask, grid
from uad_jax.data.preprocessing.steps.to_template import template_head
from uad_jax.ops import affine_matrix
from uad_jax.registration import affine

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
  'degrees, levels, tolerance', [(12, 2, 1.2), (9, 1, 6.0), (6, 1, 14.0)]
)
def test_the_known_affine_is_found(register, degrees, levels, tolerance):
  # Oracle: the head was made by TO_SCAN, which has scales and shears.
  found = register(['t1'], similarity='ncc', degrees=degrees, levels=levels)
  assert worst(matrix(found), TO_SCAN) < tolerance
  assert found.similarity[0] > 0.93
  scales = np.linalg.svd(matrix(found)[:3, :3], compute_uv=False)
  assert (abs(scales - 1).max() < 1e-5) == (degrees == 6)


def test_mutual_information_needs_no_t1(register, optimised):
  found = register(['inverted', 't2'], levels=1)
  for i in range(2):
    assert worst(matrix(found, i), TO_SCAN) < 1.5


def test_subjects_do_not_meet(register):
  names = ['t1', 'moved']
  options = {'similarity': 'ncc', 'degrees': 6, 'levels': 1}
  both = register(names, **options)
  for i, name in enumerate(names):
    alone = register([name], **options)
    assert worst(matrix(both, i), matrix(alone)) < 0.1
    np.testing.assert_allclose(both.similarity[i], alone.similarity[0], atol=1e-4)
  assert worst(matrix(both, 0), matrix(both, 1)) > 10


def test_what_was_reached_can_be_measured(brain, images, register):
  found = register(['t1'], similarity='ncc', degrees=6, levels=1)
  arrays = (images['t1'], brain[2], *template_head(SPACING))
  arrays = [np.asarray(a)[None] for a in arrays]
  again = affine.measure(found.matrix, *arrays, similarity='ncc')
  np.testing.assert_allclose(again, found.similarity, atol=1e-4)


def test_voxels_without_weight_have_no_influence():
  a, b, weight = pair()
  weight[:, :4] = 0
  other = np.where(weight == 0, 0.9, a).astype('float32')
  for measure in affine.MEASURES.values():
    np.testing.assert_allclose(
      measure(other, b, weight), measure(a, b, weight), rtol=1e-4
    )
    assert abs(measure(other, b) - measure(a, b)).min() > 0.01


def pair(shape=(9, 8, 7), seed=0):
  rng = np.random.default_rng(seed)
  a = rng.uniform(size=(2, *shape)).astype('float32')
  b = (0.6 * a**2 + 0.4 * rng.uniform(size=a.shape)).astype('float32')
  return a, b, rng.uniform(size=a.shape).astype('float32')


def test_correlation_is_numpys():
  a, b, weight = pair()
  # Oracle: numpy.corrcoef, and numpy.cov with weights.
  want = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
  np.testing.assert_allclose(affine.correlation(a, b), want, rtol=1e-5)
  cov = [
    np.cov(x.ravel(), y.ravel(), aweights=w.ravel())
    for x, y, w in zip(a, b, weight, strict=True)
  ]
  want = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in cov]
  np.testing.assert_allclose(affine.correlation(a, b, weight), want, rtol=1e-5)
  np.testing.assert_allclose(affine.correlation(a, 3 - 2 * a), -1, rtol=1e-5)
  np.testing.assert_array_equal(affine.correlation(a, 0 * a), 0)


def information_oracle(moving, fixed, weight, bins):
  """The definition in float64, voxel by voxel; scipy's cubic B-spline."""
  window = interpolate.BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
  joint = np.zeros((bins, bins))
  for m, f, w in zip(moving.ravel(), fixed.ravel(), weight.ravel(), strict=True):
    values = np.nan_to_num(window(1 + (bins - 3) * float(m) - np.arange(bins)))
    joint[:, int(1 + (bins - 3) * float(f) + 0.5)] += w * values
  joint /= joint.sum()
  product = np.outer(joint.sum(1), joint.sum(0))
  seen = joint > 0
  return (joint[seen] * np.log(joint[seen] / product[seen])).sum()


@pytest.mark.parametrize('bins', [8, 32])
def test_mutual_information_is_its_definition(bins):
  a, b, weight = pair()
  for w in (weight, None):
    used = np.ones_like(a) if w is None else w
    want = [information_oracle(a[i], b[i], used[i], bins) for i in range(2)]
    got = affine.mutual_information(a, b, w, bins)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_mutual_information_of_independent_and_equal_images():
  rng = np.random.default_rng(0)
  a, b = rng.uniform(size=(2, 1, 60_000)).astype('float32')
  independent = affine.mutual_information(a, b)[0]
  # Chance alone gives (bins - 1)^2 / (2 N), Miller 1955.
  assert 0 < independent < 2 * 31**2 / (2 * a.size)
  assert affine.mutual_information(a, a)[0] > 2
  np.testing.assert_allclose(
    affine.mutual_information(1 - a, a), affine.mutual_information(a, a), rtol=1e-3
  )
  np.testing.assert_allclose(affine.mutual_information(0 * a, a), 0, atol=1e-5)


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
    problem = affine.Problem(moving, fixed, weight, before, after)
    return affine.agreement(affine_matrix.matrix(scale * free), problem, similarity)

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
