"""Functions that add and remove the noise of a Gaussian diffusion model.

Ho et al. 2020 ("Denoising diffusion probabilistic models"), with their alpha-bar called
`kept`: the share of the image's variance that is left at a step, 1 at step 0. The noise
may be correlated in space, as long as its variance is 1.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.ops.choices import choose

Array = jax.Array


def _linear(steps: int) -> np.ndarray:
  """Noise variances [steps] from 1e-4 to 0.02, times 1000 / steps (Ho et al. 2020)."""
  scale = 1000 / steps
  return np.linspace(1e-4 * scale, 0.02 * scale, steps)


def _cosine(steps: int, shift: float = 0.008) -> np.ndarray:
  """Noise variances [steps] of a cos^2 alpha-bar (Nichol & Dhariwal 2021, eq. 17)."""
  time = np.arange(steps + 1) / steps
  kept = np.cos((time + shift) / (1 + shift) * math.pi / 2) ** 2
  return 1 - kept[1:] / kept[:-1]


SCHEDULES = {'linear': _linear, 'cosine': _cosine}
"""Noise schedules by name: the variances beta [steps] of a number of steps."""


def schedule(name: str, steps: int) -> np.ndarray:
  """Computes alpha-bar, the share of image variance left, at each diffusion step.

  Args:
    name: 'linear' (Ho et al. 2020) or 'cosine' (Nichol & Dhariwal 2021).
    steps: Number of diffusion steps.

  Returns:
    alpha-bar at the steps 0 to `steps`, [steps + 1] float32, falling from 1.

  Raises:
    ValueError: The name is not in `SCHEDULES`.

  Examples:
    >>> [round(float(kept), 3) for kept in schedule('cosine', 4)]
    [1.0, 0.847, 0.494, 0.144, 0.0]
  """
  beta = np.clip(choose('schedule', name, SCHEDULES)(steps), 0.0, 0.999)
  return np.concatenate([[1.0], np.cumprod(1 - beta)]).astype(np.float32)


def noised(image: Array, noise: Array, kept: Array) -> Array:
  """Computes the noised images x_t of diffusion step t from images x_0 and noise.

  x_t = sqrt(kept) x_0 + sqrt(1 - kept) noise, `kept` being alpha-bar at step t. With
  normal noise it is a sample of q(x_t | x_0) = N(sqrt(kept) x_0, 1 - kept), Ho et al.,
  equation 4.

  Args:
    image: x_0 [B, *S, C].
    noise: Noise of mean 0 and variance 1, in the shape of `image`.
    kept: alpha-bar at step t in (0, 1], a scalar or [B, 1, ..., 1].

  Examples:
    >>> noised(jnp.array([1.0, 2.0]), jnp.zeros(2), 0.25).tolist()
    [0.5, 1.0]
  """
  return jnp.sqrt(kept) * image + jnp.sqrt(1 - kept) * noise


def denoised(x: Array, noise: Array, kept: Array) -> Array:
  """Computes the images x_0 from the noised images x_t and their noise.

  It is the inverse of `noised`.

  Args:
    x: x_t [B, *S, C].
    noise: The noise in x_t, or a network's estimate, as x.
    kept: alpha-bar at step t in (0, 1], a scalar or [B, 1, ..., 1].

  Examples:
    >>> denoised(jnp.array([0.5, 1.0]), jnp.zeros(2), 0.25).tolist()
    [1.0, 2.0]
  """
  return (x - jnp.sqrt(1 - kept) * noise) / jnp.sqrt(kept)


def posterior(
  image: Array, x: Array, kept: Array, kept_before: Array
) -> tuple[Array, Array]:
  """Computes mean and variance of a less noised image from the clean and a noised one.

  It is the diffusion posterior q(x_s | x_t, x_0) of Ho et al., equation 7, for any two
  steps s < t.

  Args:
    image: x_0 [B, *S, C], or a network's estimate.
    x: x_t, as image.
    kept: alpha-bar at step t in (0, 1], a scalar or [B, 1, ..., 1].
    kept_before: alpha-bar at step s; 1 (s = 0) gives the mean x_0 and the variance 0.

  Returns:
    The mean [B, *S, C], and the variance in the shape of `kept`.

  Examples:
    >>> mean, variance = posterior(jnp.array([0.5]), jnp.array([2.0]), 0.25, 1.0)
    >>> mean.tolist(), float(variance)
    ([0.5], 0.0)
  """
  share = kept / kept_before  # alpha of the stride from s to t
  of_image = jnp.sqrt(kept_before) * (1 - share) / (1 - kept)
  of_x = jnp.sqrt(share) * (1 - kept_before) / (1 - kept)
  return of_image * image + of_x * x, (1 - share) * (1 - kept_before) / (1 - kept)


def strides(start: int, hops: int) -> np.ndarray:
  """Lists the pairs of steps (t, s) of a reverse diffusion from step `start` to step 0.

  Args:
    start: First step t, positive.
    hops: Number of pairs, of equal length t - s up to rounding; at most `start` are
      used.

  Returns:
    Pairs (t, s) of integers with t > s, [hops, 2]; each s is the next t, the last is 0.

  Examples:
    >>> strides(250, 2).tolist()
    [[250, 125], [125, 0]]
  """
  steps = np.unique(np.round(np.linspace(0, start, hops + 1)).astype(int))[::-1]
  return np.stack([steps[:-1], steps[1:]], 1)
