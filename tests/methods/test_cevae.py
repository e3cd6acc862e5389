"""Context encoding: position of the boxes and target of the context branch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.augmentation import lesion_shapes
from uad_jax.methods import cevae
from uad_jax.methods.families import variational
from uad_jax.ops import losses

TINY = dict(widths=(8, 16), latent=4)
SHAPE = (16, 16)


@pytest.mark.parametrize('shape', [(40, 64), (24, 32, 40)])
def test_boxes_lie_inside_the_brains_bounding_box_and_differ(shape, key):
  size, most = 64, 3
  mask = np.zeros((size, *shape), np.float32)
  inside = tuple(slice(n // 4, n // 4 + n // 2) for n in shape)
  mask[(slice(None), *inside)] = 1
  found = np.asarray(lesion_shapes.boxes(key, mask, most, 0.125))
  assert set(np.unique(found)) == {0.0, 1.0}
  assert (found * (1 - mask)).max() == 0
  one = np.prod([round(0.125 * n) for n in shape])
  volume = found.reshape(size, -1).sum(-1)
  assert volume.min() == one and one * 1.5 < volume.max() <= most * one
  assert len({x.tobytes() for x in found}) > 0.9 * size
  # Every place of the bounding box is reached.
  reached = np.asarray(
    lesion_shapes.boxes(key, np.repeat(mask[:1], 999, 0), most, 0.25)
  )
  if len(shape) == 2:
    assert reached.max(0)[inside].min() == 1


def test_boxes_in_a_small_or_an_empty_mask(key):
  mask = np.zeros((2, 16, 16), np.float32)
  mask[0, 4:6, 9:10] = 1  # smaller than a box
  found = np.asarray(lesion_shapes.boxes(key, mask, 3, 0.5))
  np.testing.assert_array_equal(found[0], mask[0])
  assert np.isfinite(found).all()


def parts_of(key, **options):
  method = cevae.make(SHAPE, **TINY, **options)
  batch = make_batch(SHAPE, 3)
  batch['weight'][2] = 0
  params, stats = jax.jit(method.init)(jax.random.key(0), batch)
  value, (_, parts) = jax.jit(method.objectives['cevae'].loss)(
    params, stats, batch, key, 0
  )
  return batch, params, value, parts


def test_the_target_of_the_context_branch_is_the_whole_image(key):
  """A box that covers the image leaves the context branch blind; its target is x."""
  batch, params, value, parts = parts_of(key, boxes=1, edge=1.0)
  nets = variational.study(SHAPE, 1, TINY['widths'], TINY['latent'], 0.0)
  mean, _ = nets.encode(params, jnp.zeros_like(batch['image']), None)
  blind, _ = nets.decode(params, mean, None, None)
  error = losses.example_sum(jnp.abs(batch['image'] - blind) * batch['mask'])
  np.testing.assert_allclose(parts['context'], error[:2].mean(), rtol=1e-5)
  total = parts['rec'] + parts['kl'] + parts['context']
  np.testing.assert_allclose(value, total, rtol=1e-6)


def test_the_context_branch_goes_through_the_mean_and_can_be_left_out(key):
  """With boxes of almost no size the branch decodes the mean of z for the image."""
  batch, params, value, parts = parts_of(key, context=0.0, beta=2.0, edge=1e-6)
  np.testing.assert_allclose(value, parts['rec'] + 2 * parts['kl'], rtol=1e-6)
  whole = cevae.make(SHAPE, **TINY)
  outputs = jax.jit(whole.infer)(params, {}, batch, key)
  # Boxes of one voxel barely change the image; a sample does.
  of_the_mean = outputs['rec'][:2].mean()
  assert abs(parts['context'] / of_the_mean - 1) < 0.01 < parts['rec'] / of_the_mean - 1
  np.testing.assert_allclose(outputs['elbo'], -outputs['rec'] - outputs['kl'])


def test_the_elbo_has_a_gradient_by_the_image(key):
  method, batch = cevae.make(SHAPE, **TINY), make_batch(SHAPE, 2)
  params, stats = jax.jit(method.init)(key, batch)
  for name in ('elbo', 'rec', 'kl'):

    def value(image, name=name):
      return method.infer(params, stats, {**batch, 'image': image}, key)[name].sum()

    slope = jax.jit(jax.grad(value))(batch['image'])
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0
