"""Creates training batches of scans, each with and without synthetic lesions.

The deformer of `dae_unc` is trained on them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.augmentation import lesion_shapes, synthetic_lesions
from uad_jax.method import Array, Batch, Key


class PaintedTwins(NamedTuple):
  """Training batch of scans with synthetic lesions and the same scans without them.

  It holds P pairs of a scan with synthetic (painted) lesions and its lesion-free twin.

  Attributes:
    image: Scans with lesions, then their lesion-free twins [2 P, *S, C].
    mask: Brain masks [2 P, *S, 1].
    position: Slice heights [2 P] in [0, 1].
    gate: Simulated gates [2 P, *S, 1] in [0, 1], near 1 in the lesions; 0 for the
      lesion-free twins.
    strength: lambda0, the strength of the regularisation, [2 P]; equal for both twins.
    weight: Weight of each pair [P], 0 for padding.
  """

  image: Array
  mask: Array
  position: Array
  gate: Array
  strength: Array
  weight: Array


def draw(
  key: Key,
  batch: Batch,
  painters: Sequence[str],
  strength_range: tuple[float, float],
  polarity: str = 'both',
) -> PaintedTwins:
  """Creates a batch of scans with synthetic lesions and the same scans without them.

  Every second scan of `batch` is used. Gates are simulated over the lesions.

  Args:
    key: Random key for lesions, gates and strengths.
    batch: [B, *S, C] images and masks, as `method.Batch`; P = B / 2, rounded up.
    painters: Kinds of synthetic lesions, names from `synthetic_lesions.PAINTERS`.
    strength_range: Range from which lambda0 is drawn log-uniformly, above 0.
    polarity: Allowed changes of intensity, see `synthetic_lesions.one_sided`.
  """
  key_paint, key_gate, key_strength = jax.random.split(key, 3)
  # Half of the batch, painted and untouched, has the size of the batch again.
  batch = {name: value[::2] for name, value in batch.items()}
  clean, mask = batch['image'], batch['mask']
  image, painted = synthetic_lesions.paint(
    key_paint, clean, mask, painters, polarity=polarity
  )
  g = lesion_shapes.rough_gate(key_gate, painted, mask)
  low, high = (jnp.log(strength) for strength in strength_range)
  drawn = jax.random.uniform(key_strength, (len(clean),), minval=low, maxval=high)
  return PaintedTwins(
    strength=jnp.tile(jnp.exp(drawn), 2),
    image=jnp.concatenate([image, clean]),
    gate=jnp.concatenate([g, jnp.zeros_like(g)]),
    mask=jnp.concatenate([mask, mask]),
    position=jnp.tile(batch['position'], 2),
    weight=batch['weight'],
  )
