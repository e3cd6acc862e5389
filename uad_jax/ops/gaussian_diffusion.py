"""Denoising diffusion: the schedule, and its two Gaussians in closed form.

Ho et al. 2020 ("Denoising diffusion probabilistic models"), with their alpha-bar called
`kept`: the share of the image's variance that is left at a step, 1 at step 0. The noise
may be correlated in space, as long as its variance is 1.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def _linear(steps: int) -> np.ndarray:
  """Variances rising linearly; those of Ho et al. for 1000 steps, scaled for others."""
  scale = 1000 / steps
  return np.linspace(1e-4 * scale, 0.02 * scale, steps)


def _cosine(steps: int, shift: float = 0.008) -> np.ndarray:
  """kept = cos^2 (Nichol & Dhariwal 2021, equation 17)."""
  time = np.arange(steps + 1) / steps
  kept = np.cos((time + shift) / (1 + shift) * math.pi / 2) ** 2
  return 1 - kept[1:] / kept[:-1]


SCHEDULES = {'linear': _linear, 'cosine': _cosine}


def schedule(name: str, steps: int) -> np.ndarray:
  """`kept` at the steps 0 to `steps`; [steps + 1], float32, falling from 1."""
  if name not in SCHEDULES:
    raise ValueError(f"unknown schedule '{name}'; there are {', '.join(SCHEDULES)}")
  beta = np.clip(SCHEDULES[name](steps), 0.0, 0.999)
  return np.concatenate([[1.0], np.cumprod(1 - beta)]).astype(np.float32)


def noised(image: Array, noise: Array, kept: Array) -> Array:
  """A draw of q(x_t | x_0) = N(sqrt(kept) x_0, 1 - kept), from noise of variance 1."""
  return jnp.sqrt(kept) * image + jnp.sqrt(1 - kept) * noise


def denoised(x: Array, noise: Array, kept: Array) -> Array:
  """The x_0 of which `noise` made x: the inverse of `noised`."""
  return (x - jnp.sqrt(1 - kept) * noise) / jnp.sqrt(kept)


def posterior(
  image: Array, x: Array, kept: Array, kept_before: Array
) -> tuple[Array, Array]:
  """Mean and variance of q(x_s | x_t, x_0) for any s < t (Ho et al., equation 7).

  Args:
    image: x_0.
    x: x_t.
    kept: At step t.
    kept_before: At step s; where it is 1 (s = 0) the result is x_0, for certain.
  """
  share = kept / kept_before  # alpha of the stride from s to t
  of_image = jnp.sqrt(kept_before) * (1 - share) / (1 - kept)
  of_x = jnp.sqrt(share) * (1 - kept_before) / (1 - kept)
  return of_image * image + of_x * x, (1 - share) * (1 - kept_before) / (1 - kept)


def strides(start: int, hops: int) -> np.ndarray:
  """The pairs (t, s) of a way from `start` to 0 in `hops` even hops; [hops, 2]."""
  steps = np.unique(np.round(np.linspace(0, start, hops + 1)).astype(int))[::-1]
  return np.stack([steps[:-1], steps[1:]], 1)
