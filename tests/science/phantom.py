"""A toy head whose normal variability and lesions are known exactly.

A disc with a folded cortical rim and two ventricles; subjects differ in the ventricles'
size and in the folds. Registration is solved directly, so that only the regularisation
is on trial.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import ndimage

from uad_jax.registration import energy, flow, gate
from uad_jax.registration.similarity import mse
from uad_jax.registration.warp import warp

SIZE = 80
FIT = 50.0  # one over twice the variance of the healthy residual, about
STEPS, SQUARINGS = 100, 5


class Heads(NamedTuple):
  """Images [N, 80, 80, 1], and what is where as bool [N, 80, 80]."""

  image: np.ndarray
  brain: np.ndarray
  ventricle: np.ndarray
  lesion: np.ndarray


def ellipse(centre, radii):
  y, x = np.indices((SIZE, SIZE))
  return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1


def folds(rng: np.random.Generator, depth: float) -> np.ndarray:
  """How far the rim's inner border lies outward, in voxels, by the angle."""
  y, x = np.indices((SIZE, SIZE)) - 40
  angle = np.arctan2(y, x)
  waves = [np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (5, 9, 14)]
  return depth * np.sum(waves, 0)


def head(
  rng: np.random.Generator,
  growth: float,
  lesion: bool,
  noise: float = 0.015,
  depth: float = 1.0,
):
  """Image, brain, ventricles and lesion of one head.

  A lesion looks like the ventricle or the rim that it lies beside: what a field that is
  free explains away.
  """
  brain = ellipse((40, 40), (34, 36))
  reach = folds(rng, depth)
  inner = ellipse((40, 40), (28 + reach, 30 + reach))
  wide = np.sqrt(growth)
  ventricle = np.zeros_like(brain)
  for side in (-8, 8):
    ventricle |= ellipse((40 + side, 40), (3.5 * wide, 9 * wide))
  image = np.where(brain, np.where(inner, 0.7, 0.5), 0.0)
  image[ventricle] = 0.1
  sick = np.zeros_like(brain)
  near = {0.1: ventricle, 0.5: brain & ~inner}
  while lesion and not sick.any():
    radius, value = rng.uniform(2.5, 5), rng.choice(list(near))
    spot = ellipse(rng.uniform(12, 68, 2), (radius, radius))
    close = (ndimage.binary_dilation(spot, iterations=3) & near[value]).any()
    if close and (spot & inner & ~ventricle).sum() > 0.9 * spot.sum():
      sick = spot & inner & ~ventricle
      image[sick] = value
  image = ndimage.gaussian_filter(image, 0.8) + noise * rng.normal(size=image.shape)
  return image * brain, brain, ventricle, sick


def draw(seed: int, count: int, lesion: bool) -> Heads:
  """Subjects with ventricles of one to two and a half times the usual area."""
  rng = np.random.default_rng(seed)
  made = [head(rng, rng.uniform(1, 2.5), lesion) for _ in range(count)]
  image, *rest = (np.stack(part) for part in zip(*made, strict=True))
  return Heads(image[..., None].astype(np.float32), *rest)


def prior() -> tuple[np.ndarray, np.ndarray]:
  """The expected image [80, 80, 1], with small ventricles, and those as bool."""
  image, _, ventricle, _ = head(
    np.random.default_rng(0), 1.0, False, noise=0.0, depth=0.0
  )
  return image[..., None].astype(np.float32), ventricle


@jax.jit
def _solve(image, expected, mask, g, lambda0, ratio, magnitude, rho):
  how = energy.Gating(ratio, magnitude, rho, 3)
  strength = jnp.full((len(image),), lambda0)
  omega = gate.data_weight(g, rho, 3) * mask

  def loss(v):
    data = FIT * mse(image, warp(expected, flow.integrate(v, SQUARINGS)), omega)
    return (data + energy.regularisation(v, g, strength, how)).sum()

  tx = optax.adam(optax.cosine_decay_schedule(0.2, STEPS))

  def step(carry, _):
    v, state = carry
    updates, state = tx.update(jax.grad(loss)(v), state)
    return (v + updates, state), None

  start = jnp.zeros((*image.shape[:-1], 2))
  (v, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=STEPS)
  return flow.integrate(v, SQUARINGS)


def register(
  heads: Heads, lambda0: float, g=None, ratio=10.0, magnitude=1.0, rho=1.0
) -> tuple[np.ndarray, np.ndarray]:
  """The prior warped onto each head under a gate [N, 80, 80, 1], and the field."""
  image, ventricle = prior()
  expected = np.broadcast_to(image, heads.image.shape)
  mask = heads.brain[..., None].astype(np.float32)
  g = np.zeros_like(mask) if g is None else g
  field = _solve(heads.image, expected, mask, g, lambda0, ratio, magnitude, rho)
  return np.asarray(warp(expected, field)), np.asarray(field)


def ventricle_dice(heads: Heads, field: np.ndarray) -> float:
  """Overlap of the prior's ventricles, carried along, with each head's own."""
  _, usual = prior()
  usual = np.broadcast_to(usual[None, ..., None], heads.image.shape).astype(np.float32)
  carried = np.asarray(warp(usual, field))[..., 0] > 0.5
  both = (carried & heads.ventricle).sum((1, 2))
  return float(np.mean(2 * both / (carried.sum((1, 2)) + heads.ventricle.sum((1, 2)))))
