"""MAP restoration: the healthy image that explains the scan with few changes."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops import losses
from uad_jax.ops.residual_sign import signed

WEIGHTS = {
  variant: tuple(round(step * i, 1) for i in range(20))
  for variant, step in (('you2019', 0.2), ('baur2021', 0.1))
}
"""The published candidates for lambda, by variant."""

VARIANTS = tuple(WEIGHTS)


def total_variation(x: Array) -> Array:
  """Sum of |x_{i+1} - x_i| along every axis (anisotropic); [B, *S, C] to [B]."""
  axes = tuple(range(1, x.ndim))
  return sum(jnp.abs(jnp.diff(x, axis=axis)).sum(axes) for axis in axes[:-1])


def _check(variant: str) -> None:
  if variant not in VARIANTS:
    raise ValueError(
      f"restoration: unknown variant '{variant}'; there are {', '.join(VARIANTS)}"
    )


def candidates(variant: str, prior: float = 1.0) -> tuple[float, ...]:
  """What a variant's authors choose from, at the scale of `make`'s `prior`."""
  _check(variant)
  return tuple(round(weight * prior**0.5, 6) for weight in WEIGHTS[variant])


def restore(
  infer: Infer,
  batch: Batch,
  key: Key,
  weight: float | Array = 1.8,
  variant: str = 'you2019',
  steps: int = 500,
  rates: Sequence[float] = (5e-3, 2e-3),
  switch: int = 100,
  clip: float = 100.0,
  prior: float = 1.0,
) -> Array:
  """The restored image x* [B, *S, C]; the arguments are those of `make`.

  `weight` may be traced, so that one compilation serves all candidates.
  """
  image, mask = batch['image'], batch['mask']

  def energy(x, key):
    outputs = infer({**batch, 'image': x}, key)
    (evidence,) = need(outputs, 'restoration', 'elbo')
    if prior != 1:
      evidence += (1 - prior) * need(outputs, 'restoration', 'kl')[0]
    if variant == 'you2019':
      penalty = total_variation(image - x)
    else:
      (expected,) = need(outputs, 'restoration', 'reconstruction')
      penalty = total_variation(x - expected)
    return (evidence - weight * penalty).sum()

  def ascend(x, step):
    slope = jax.grad(energy)(x, jax.random.fold_in(key, step))
    slope = jnp.clip(slope, -clip, clip) if clip else slope
    rate = jnp.where(step < switch, *rates)
    return x + rate * mask * slope, None

  return jax.lax.scan(ascend, jnp.asarray(image), jnp.arange(steps))[0]


def make(
  weight: float = 1.8,
  variant: str = 'you2019',
  steps: int = 500,
  rates: Sequence[float] = (5e-3, 2e-3),
  switch: int = 100,
  clip: float = 100.0,
  prior: float = 1.0,
  sign: str = 'absolute',
) -> Scorer:
  """|y - x*|, or y - x* ('bright'), in the mask, channels averaged; [B, *S, 1].

  x* = argmax log p(x) + log p(y | x) by gradient ascent from the scan y, the ELBO for
  the first term: x += rate mask clip(d/dx [ELBO(x) - weight TV], -clip, clip).
  'you2019' takes TV(y - x) (You et al., MIDL 2019; Chen et al. 2020), 'baur2021' takes
  TV(x - x'), x' the reconstruction of x (Baur et al., MedIA 2021; published with steps
  150, rates (1e-3, 1e-3), clip 0).

  All but `steps` are absolute: they belong to the scale of the intensities, and to the
  likelihood. The published one is the squared error without the predicted variance;
  here it is the ELBO that the method gives, summed over voxels as there.

  Args:
    weight: lambda of the total variation; published 1.8 for a mixture prior, 2.2 for a
      VAE; `choose_weight` finds it on healthy scans.
    variant: One of `VARIANTS`.
    steps: Number of steps, each with a draw of its own where the ELBO is random.
    rates: Step sizes before and from step `switch` on.
    switch: See `rates`.
    clip: Bound of the gradient; 0 for none.
    prior: Weight of the ELBO's KL term. A squared error of intensities with deviation s
      has it where it would be with z-scored ones if this is s^2, lambda and `clip` are
      s times what they are there, and the rates are the same.
    sign: 'absolute', 'bright' (as Baur et al. score) or 'dark'.
  """
  _check(variant)
  side = signed(sign, 'restoration')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    found = restore(
      infer, batch, key, weight, variant, steps, rates, switch, clip, prior
    )
    change = side(batch['image'] - found) * batch['mask']
    return change.mean(-1, keepdims=True)

  return score


def choose_weight(
  infer: Infer,
  batches: Iterable[Batch],
  key: Key,
  weights: Sequence[float] = WEIGHTS[VARIANTS[0]],
  shown: Callable[[int], None] | None = None,
  **options,
) -> tuple[float, dict[float, float]]:
  """The weight that changes healthy scans least (You et al. 2019), and all distances.

  argmin over the candidates of the mean |y - x*| over brain voxels. Even without a
  prior a large weight changes the scan, since the subgradient of TV then moves it to
  and fro; this is what makes the rule have an optimum.

  Args:
    infer: The trained method, bound.
    batches: Healthy scans, padding of weight 0.
    key: Batch i is restored with fold_in(key, i), for each candidate.
    weights: The candidates.
    shown: Is told how many restorations are done, of a batch with a candidate each.
    options: Those of `restore`, without the weight.
  """
  _check(options.get('variant', VARIANTS[0]))
  if not weights:
    raise ValueError('choose_weight needs at least one candidate')

  @jax.jit
  def total(batch, key, weight):
    voxels = batch['mask'] * losses.per_example(batch['weight'], batch['mask'])
    found = restore(infer, batch, key, weight, **options)
    change = (jnp.abs(batch['image'] - found) * voxels).sum()
    return change, voxels.sum() * batch['image'].shape[-1]

  sums, count, done = dict.fromkeys(weights, 0.0), 0.0, itertools.count(1)
  for index, batch in enumerate(batches):
    for weight in sums:
      found = total(batch, jax.random.fold_in(key, index), weight)
      change, voxels = map(float, found)
      sums[weight] += change
      if shown:
        shown(next(done))
    count += voxels
  if not count:
    raise ValueError('choose_weight needs at least one batch of healthy scans')
  distances = {weight: change / count for weight, change in sums.items()}
  return min(distances, key=distances.get), distances
