"""Auto-encoder that warps a pseudo-healthy image onto the scan (MorphAEus).

This is the deformable auto-encoder as published by Bercea et al. 2023. A convolutional
auto-encoder with a 1 x 1 bottleneck decodes a coarse pseudo-healthy prior image; a
small deformer, which reads the features of encoder and decoder, predicts a stationary
velocity field that warps the prior image onto the scan. All are trained together.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.morphaeus import Decoder, Deformer, Encoder
from uad_jax.ops import losses
from uad_jax.registration import flow, regularise, similarity
from uad_jax.registration.warp import warp


def make(
  shape: tuple[int, ...] = (128, 128),
  channels: int = 1,
  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256),
  taps: int = 3,
  deformer_features: int = 32,
  structure: float = 1.0,
  morph: float = 1.0,
  stiffness: float = 1.0,
  steps: int = 3000,
  warm_up: float = 1 / 3,
  ramp: float = 2 / 3,
  squarings: int = 7,
  window: int = 9,
) -> Method:
  """Builds an auto-encoder that warps a pseudo-healthy image onto the scan (MorphAEus).

  As published by Bercea et al. 2023; it has 3 854 755 parameters at 128 x 128.

  L = MSE(x_ph, x) + structure (1 - SSIM(x_ph, x)) + morph L_morph after the warm-up,
  L_morph = 1/2 [D(x, x_ph o phi) + D(x_ph, x o phi^-1)] + beta mean |grad v|^2,
  x_ph the prior image, phi = exp(v), D = 1 - local squared correlation, grad by central
  differences, and beta = stiffness clip(t / ramp, 1e-3, 1) at the fraction t of the
  steps. No gradient is stopped: L_morph also trains the auto-encoder.

  The losses follow the variant for brain MRI (Bercea et al. 2025), without its VGG
  term, whose weights would have to be downloaded; in that variant `structure` is 1,
  L_morph joins after a third of the training and beta rises over two thirds. Other
  departures: up-sampling by half-pixel bilinear interpolation, images continued by
  their border values in warps, one epsilon for each variance of the correlation.

  Args:
    shape: Spatial shape of the images, divisible by 2 to the number of widths.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    taps: Number of grids, from half the resolution down, whose features the deformer
      reads.
    deformer_features: Channels of the deformer.
    structure: Weight of 1 - SSIM; at 0 only the squared error is left.
    morph: Weight of L_morph (delta in the paper) after the warm-up.
    stiffness: beta at the end of its ramp.
    steps: Number of training steps, of which `warm_up` and `ramp` are fractions.
    warm_up: Fraction of the steps during which the auto-encoder is trained alone.
    ramp: Fraction of the steps at which beta reaches its final value.
    squarings: Number of squarings in the integration of the velocity field.
    window: Edge length of the correlation's box, in voxels; odd.

  Raises:
    ValueError: The shape is not divisible, or there are not 1 to len(widths) - 1 taps.
  """
  factor = 2 ** len(widths)
  if any(n % factor for n in shape):
    raise ValueError(
      f'dae: shape {tuple(shape)} must be divisible by {factor}, 2 to the number of '
      'widths; give fewer widths or another shape'
    )
  if not 1 <= taps < len(widths):
    raise ValueError(
      f'dae: {taps} taps of {len(widths)} widths; allowed are 1 to {len(widths) - 1}'
    )
  encoder = Encoder(widths)
  decoder = Decoder(channels, widths)
  deformer = Deformer(deformer_features, taps)
  networks = {'encoder': encoder, 'decoder': decoder, 'deformer': deformer}

  def forward(params, stats, batch: Batch, train: bool):
    """Latent, prior image, velocity field, and the new batch statistics."""
    new_stats = dict(stats)

    def run(name, *inputs):
      outputs, state = networks[name].apply(
        {'params': params[name], 'batch_stats': stats[name]},
        *inputs,
        batch['weight'],
        train,
        mutable=['batch_stats'],
      )
      new_stats[name] = state['batch_stats']
      return outputs

    latent, encoded = run('encoder', batch['image'])
    prior, decoded = run('decoder', latent)
    return latent, prior, run('deformer', encoded, decoded), new_stats

  def init(key, batch: Batch):
    params, stats = {}, {}

    def start(name, key, *inputs):
      variables = networks[name].init(key, *inputs, batch['weight'], False)
      params[name], stats[name] = variables['params'], variables['batch_stats']
      return networks[name].apply(variables, *inputs, batch['weight'], False)

    key_encoder, key_decoder, key_deformer = jax.random.split(key, 3)
    latent, encoded = start('encoder', key_encoder, batch['image'])
    _, decoded = start('decoder', key_decoder, latent)
    start('deformer', key_deformer, encoded, decoded)
    return params, stats

  def loss(params, stats, batch: Batch, key, step):
    image = batch['image']
    _, prior, velocity, stats = forward(params, stats, batch, train=True)
    forward_field = flow.integrate(velocity, squarings)
    inverse_field = flow.inverse(velocity, squarings)
    correlation = 0.5 * (
      similarity.ncc_loss(image, warp(prior, forward_field), window=window)
      + similarity.ncc_loss(prior, warp(image, inverse_field), window=window)
    )
    roughness = regularise.gradient_energy(velocity, kind='central')
    by_scan = {
      'mse': similarity.mse(prior, image),
      'structure': 1 - losses.ssim(prior, image).mean(tuple(range(1, image.ndim))),
      'ncc': correlation,
      'roughness': roughness,
    }
    terms = {k: losses.example_mean(v, batch['weight']) for k, v in by_scan.items()}
    beta = stiffness * jnp.clip(step / max(ramp * steps, 1), 1e-3, 1)
    morph_weight = jnp.where(step >= warm_up * steps, morph, 0.0)
    total = (
      terms['mse']
      + structure * terms['structure']
      + morph_weight * (terms['ncc'] + beta * terms['roughness'])
    )
    return total, (stats, terms)

  def infer(params, stats, batch: Batch, key):
    latent, prior, velocity, _ = forward(params, stats, batch, train=False)
    displacement = flow.integrate(velocity, squarings)
    return {
      'reconstruction': warp(prior, displacement),
      'prior': prior,
      'velocity': velocity,
      'displacement': displacement,
      'latent': latent,
    }

  objective = Objective(loss, ('encoder', 'decoder', 'deformer'))
  kinds = dict.fromkeys(networks, 'batch_norm')
  return Method(init, {'autoencoder': objective}, infer, kinds)
