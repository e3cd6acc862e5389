import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.augmentation.phantoms import brain
from uad_jax.augmentation import lesion_shapes


@pytest.mark.parametrize('shape', [(32, 32), (16, 16, 16)], ids=['2d', '3d'])
def test_blob_lies_in_the_mask_and_has_its_size(shape, key):
  _, mask = brain(shape)
  draws = lesion_shapes.draw(key, 32, *lesion_shapes.draws_of_blob(len(shape)))
  drawn = jax.vmap(lesion_shapes.blob, (0, 0, None))(*draws, mask[..., 0])
  assert drawn.min() >= 0 and drawn.max() <= 1
  assert (drawn * (1 - mask[..., 0])[None]).max() == 0
  volume = (drawn > 0.5).sum(tuple(range(1, drawn.ndim)))
  assert (volume > 0).mean() > 0.7
  assert volume.max() < 0.6 * mask.sum()


def test_place_is_uniform_over_the_mask(key):
  mask = jnp.zeros((4, 5)).at[1, 2].set(1).at[3, 4].set(1).at[0, 0].set(1)
  drawn = jax.random.uniform(key, (3000,))
  found = jax.vmap(lambda q: lesion_shapes.place(q, mask))(drawn)
  places, counts = np.unique(np.asarray(found), axis=0, return_counts=True)
  assert places.tolist() == [[0, 0], [1, 2], [3, 4]]
  # Three standard deviations of a binomial count.
  assert np.abs(counts - 1000).max() < 3 * np.sqrt(3000 * 2 / 9)


def test_a_rough_gate_covers_most_painted_shapes_and_opens_rarely_elsewhere(key):
  _, mask = brain((32, 32))
  masks = jnp.broadcast_to(mask[None], (200, *mask.shape))
  painted = jnp.zeros_like(masks).at[:, 12:18, 12:18].set(1.0)
  g = lesion_shapes.rough_gate(key, painted, masks)
  assert g.min() >= 0 and g.max() <= 1
  covered = g[:, 14, 14, 0] > 0.5
  assert 0.8 < covered.mean() < 0.98
  nothing = lesion_shapes.rough_gate(key, jnp.zeros_like(masks), masks)
  opened = nothing.max((1, 2, 3)) > 0.5
  assert 0.05 < opened.mean() < 0.25
