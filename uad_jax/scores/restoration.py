"""Restoration scorer: residual between a scan and a healthy image restored from it."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice
from uad_jax.ops.residual_sign import signed

WEIGHTS = {
  variant: tuple(round(step * i, 1) for i in range(20))
  for variant, step in (('you2019', 0.2), ('baur2021', 0.1))
}
"""Published candidates of the total variation's weight, by variant."""

VARIANTS = tuple(WEIGHTS)


def total_variation(x: Array) -> Array:
  """Computes the total variation of each image of a batch.

  It is anisotropic: the sum of |x_{i+1} - x_i| over all neighbours along each axis. The
  shape of the result is [B].

  Args:
    x: [B, *S, C].
  """
  axes = tuple(range(1, x.ndim))
  return sum(jnp.abs(jnp.diff(x, axis=axis)).sum(axes) for axis in axes[:-1])


def candidates(variant: str, prior: float = 1.0) -> tuple[float, ...]:
  """Lists published candidates for the weight of the total variation in a restoration.

  Args:
    variant: 'you2019' or 'baur2021', the publication that lists the candidates.
    prior: Weight of the KL term, see `make`; the candidates are multiplied by its
      square root, which is the scale of the intensities.
  """
  check_choice('variant', variant, VARIANTS, 'restoration')
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
  """Restores a healthy image from each scan of a batch, by gradient ascent.

  The formula is in the docstring of `make`: y is the scan, x the restored image
  [B, *S, C], and x' the reconstruction of x.

  Args:
    infer: Inference of a trained method with the output 'elbo'.
    batch: Images and masks, as `method.Batch`.
    key: Step i infers with fold_in(key, i).
    weight: Weight of the total variation (TV); may be traced, so that one compiled
      function serves all candidates.
    variant: 'you2019' penalises TV(y - x), 'baur2021' TV(x - x').
    steps: Number of gradient steps.
    rates: Step sizes before step `switch` and from it on.
    switch: Step at which the step size changes.
    clip: Bound of each component of the gradient; 0 for no bound.
    prior: Weight of the ELBO's KL term.
  """
  image, mask = batch['image'], batch['mask']

  def energy(x, key):
    outputs = infer({**batch, 'image': x}, key)
    (elbo,) = need(outputs, 'restoration', 'elbo')
    if prior != 1:
      elbo += (1 - prior) * need(outputs, 'restoration', 'kl')[0]
    if variant == 'you2019':
      penalty = total_variation(image - x)
    else:
      (expected,) = need(outputs, 'restoration', 'reconstruction')
      penalty = total_variation(x - expected)
    return (elbo - weight * penalty).sum()

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
  """Builds a scorer of the residual between a scan and its restored healthy image.

  It is |y - x*| for a scan y, with the restored image x* = argmax log p(x) +
  log p(y | x) by gradient ascent from x = y, with the ELBO in place of log p(x): x +=
  rate mask clip(d/dx [ELBO(x) - weight TV], -clip, clip). TV is the total variation of
  y - x in 'you2019' (You et al., MIDL 2019; Chen et al. 2020) and of x - x', x' the
  reconstruction of x, in 'baur2021' (Baur et al., MedIA 2021, with steps 150, rates
  (1e-3, 1e-3), clip 0).

  All options but `steps` depend on the scale of the intensities and on the likelihood.
  The published ELBO has the squared error without a predicted variance; here it is the
  ELBO that the method returns, summed over voxels like theirs.

  Args:
    weight: Weight (lambda) of the total variation; published 1.8 for a mixture prior,
      2.2 for a VAE. `choose_weight` chooses it on healthy scans.
    variant: 'you2019' or 'baur2021'.
    steps: Number of gradient steps; a random ELBO is drawn anew at each.
    rates: Step sizes before step `switch` and from it on.
    switch: Step at which the step size changes.
    clip: Bound of each component of the gradient; 0 for no bound.
    prior: Weight of the ELBO's KL term. Constants published for z-scored intensities
      serve intensities of standard deviation s, under a squared error, with prior s^2,
      with `weight` and `clip` multiplied by s, and with the same rates.
    sign: 'absolute' for |y - x*|, 'bright' for y - x* (as Baur et al.) or 'dark' for
      x* - y.

  Returns:
    A scorer of anomaly maps [B, *S, 1]: channels averaged, 0 outside the brain mask.
  """
  check_choice('variant', variant, VARIANTS, 'restoration')
  signed_residual = signed(sign, 'restoration')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    restored = restore(
      infer, batch, key, weight, variant, steps, rates, switch, clip, prior
    )
    residual = signed_residual(batch['image'] - restored) * batch['mask']
    return residual.mean(-1, keepdims=True)

  return score


def choose_weight(
  infer: Infer,
  batches: Iterable[Batch],
  key: Key,
  weights: Sequence[float] = WEIGHTS[VARIANTS[0]],
  report_progress: Callable[[int], None] | None = None,
  **options,
) -> tuple[float, dict[float, float]]:
  """Chooses the total variation weight so that restoration changes healthy scans least.

  You et al. 2019: argmin over the candidates of the mean |y - x*| over brain voxels,
  for scans y and restored images x*. It has an optimum because a very large weight
  changes the scan too: the subgradient of the total variation then moves it to and fro.

  Args:
    infer: Inference of a trained method with the output 'elbo'.
    batches: Healthy validation scans, as `method.Batch`; examples of weight 0 are
      padding.
    key: Batch i is restored with fold_in(key, i), for each candidate.
    weights: Candidates for the weight of the total variation, at least one.
    report_progress: Called after each restoration (one batch, one candidate) with the
      number of restorations done.
    **options: Options of `restore`, without the weight.

  Returns:
    The best weight, and the mean |y - x*| of each candidate.

  Raises:
    ValueError: There is no candidate, or no batch with a healthy scan.
  """
  variant = options.get('variant', VARIANTS[0])
  check_choice('variant', variant, VARIANTS, 'restoration')
  if not weights:
    raise ValueError('choose_weight needs at least one candidate')

  @jax.jit
  def total(batch, key, weight):
    voxels = losses.voxel_weight(batch)
    restored = restore(infer, batch, key, weight, **options)
    change = (jnp.abs(batch['image'] - restored) * voxels).sum()
    return change, voxels.sum() * batch['image'].shape[-1]

  sums, count, done = dict.fromkeys(weights, 0.0), 0.0, itertools.count(1)
  for index, batch in enumerate(batches):
    for weight in sums:
      totals = total(batch, jax.random.fold_in(key, index), weight)
      change, voxels = map(float, totals)
      sums[weight] += change
      if report_progress:
        report_progress(next(done))
    count += voxels
  if not count:
    raise ValueError('choose_weight needs at least one batch of healthy scans')
  distances = {weight: change / count for weight, change in sums.items()}
  return min(distances, key=distances.get), distances
