"""VQ-VAE with a transformer that predicts the probability of each latent code.

The method of Pinaya et al. 2022.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import vqvae
from uad_jax.nets.layers.grid_sizes import halved_grid
from uad_jax.nets.transformer import Transformer
from uad_jax.ops import losses, raster_orders


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (64, 128, 128),
  units: int = 2,
  codes: int = 32,
  size: int = 64,
  decay: float = 0.99,
  commitment: float = 0.25,
  width: int = 128,
  depth: int = 4,
  heads: int = 4,
  rasters: int = 4,
  likely: float = 0.005,
) -> Method:
  """Builds a VQ-VAE and a causal transformer that replaces unlikely codes of a scan.

  Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with
  transformers", Medical Image Analysis 79, 2022 (and arXiv 2102.11650). Stage 0:
  L = mean |x - D(e)| + commitment mean |sg(e) - E(x)|^2, e the nearest code, gradients
  passed straight through; the codes are updated by exponential moving averages, dead
  codes are replaced. Stage 1: the cross-entropy of each code given the codes before it
  in a raster order.

  At inference, for each of `rasters` orders: l = log p(code | codes before); the codes
  with p < `likely` are resampled, one after another, given the resampled codes before
  (with a cache of keys and values), and decoded. Departing from the paper, one network
  serves all orders (each training scan draws one), with ordinary attention instead of
  Performer's.

  Outputs: 'healed' [B, orders, *S, C] (decoded after resampling), 'heal_mask' [B,
  orders, *S, 1] (resampled places), 'reconstruction' (the mean of 'healed'), 'decoded'
  (of the scan's codes), 'improbability' [B, *S, 1] (-l, mean over orders, on the
  image's grid) and 'log_prob' [B] (sum of l, mean over orders).

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    units: Number of residual units on each grid.
    codes: Number of codes.
    size: Size of a code vector.
    decay: Share of the codes' moving averages that an update keeps, in [0, 1).
    commitment: Weight of the commitment term of the VQ-VAE.
    width: Channels of the transformer.
    depth: Number of the transformer's blocks.
    heads: Number of the transformer's attention heads.
    rasters: Number of raster orders; 1 to 8 in 2-D, 1 to 48 in 3-D.
    likely: Probability below which a code is resampled.
  """
  coarse = halved_grid(shape, len(widths))
  orders = jnp.asarray(raster_orders.raster(coarse, rasters))
  places = orders.shape[1]
  net = vqvae.make(shape, channels, widths, units, codes, size, decay, commitment)
  prior = Transformer(codes, rasters, places, width, depth, heads)

  def sequence(tokens, order):
    """Puts tokens [B, L] by place into the orders `order` [B].

    Returns the tokens in order, and the transformer's inputs: previous tokens, their
    places, and the places to predict; each [B, L].
    """
    target = orders[order]
    ordered = jnp.take_along_axis(tokens, target, 1)
    previous = jnp.concatenate([codes + order[:, None], ordered[:, :-1]], 1)
    start = jnp.full((len(tokens), 1), places)
    place = jnp.concatenate([start, target[:, :-1]], 1)
    return ordered, previous, place, target

  def log_likelihood(params, tokens, order):
    """log p of each token given the tokens before it, [B, L] in order."""
    ordered, previous, place, target = sequence(tokens, order)
    logits = prior.apply({'params': params['transformer']}, previous, place, target)
    log_p = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(log_p, ordered[..., None], -1)[..., 0]

  def init(key, batch: Batch):
    key_net, key_prior = jax.random.split(key)
    params, stats, _ = net.init(key_net, batch['image'])
    zeros = jnp.zeros((1, places), jnp.int32)
    density = prior.init(key_prior, zeros, zeros, zeros)
    return {**params, 'transformer': density['params']}, stats

  def predict(params, stats, batch: Batch, key, step):
    _, tokens = net.encode(params, stats, batch)
    order = jax.random.randint(key, (len(tokens),), 0, rasters)
    log_p = log_likelihood(params, tokens.reshape(len(tokens), -1), order)
    return -losses.example_mean(log_p.mean(-1), batch['weight']), (stats, {})

  def heal(params, tokens, order, unlikely, key):
    """Resamples tokens [B, L] by place where `unlikely` [B, L], in order, is true."""
    ordered, _, _, target = sequence(tokens, order)
    variables = {'params': params['transformer']}
    start = jnp.full(len(tokens), places)

    def turn(carry, inputs):
      cache, previous, place = carry
      t, original, next_place, resample = inputs
      logits, cache = prior.apply(
        variables, previous, place, next_place, cache, t, method=Transformer.step
      )
      drawn = jax.random.categorical(jax.random.fold_in(key, t), logits)
      token = jnp.where(resample, drawn, original)
      return (cache, token, next_place), token

    turns = (jnp.arange(places), ordered.T, target.T, unlikely.T)
    first = (prior.empty(len(tokens)), codes + order, start)
    _, healed = jax.lax.scan(turn, first, turns)
    return by_place(healed.T, target)

  def by_place(values, target):
    """Puts values [B, L] in order back to their places."""
    return jnp.take_along_axis(values, jnp.argsort(target, axis=1), 1)

  def infer(params, stats, batch: Batch, key):
    book, mask = stats['codebook']['codes'], batch['mask']
    _, tokens = net.encode(params, stats, batch)
    count = len(tokens)
    flat = jnp.repeat(tokens.reshape(count, -1), rasters, 0)
    order = jnp.tile(jnp.arange(rasters), count)
    log_p = log_likelihood(params, flat, order)
    unlikely = log_p < jnp.log(likely)
    healed = heal(params, flat, order, unlikely, key)

    def fine(values, method):
      """Maps values [B * orders, L] in order to the image's grid, [B, orders, *S, 1].

      `method` is the interpolation of `jax.image.resize`.
      """
      maps = by_place(values, orders[order]).reshape(-1, *coarse, 1)
      maps = jax.image.resize(maps, (len(maps), *shape, 1), method)
      return maps.reshape(count, rasters, *shape, 1)

    images = net.decode(params, book[healed.reshape(-1, *coarse)])
    images = images.reshape(count, rasters, *shape, channels) * mask[:, None]
    return {
      'latent': book[tokens],
      'features': net.features(params, batch),
      'reconstruction': images.mean(1),
      'decoded': net.decode(params, book[tokens]) * mask,
      'improbability': -fine(log_p, 'linear').mean(1),
      'log_prob': log_p.sum(-1).reshape(count, rasters).mean(1),
      'healed': images,
      'heal_mask': fine(unlikely.astype(jnp.float32), 'linear'),
    }

  objectives = {
    'autoencoder': net.objective,
    'transformer': Objective(predict, ('transformer',), stage=1),
  }
  return Method(init, objectives, infer, {'codebook': 'codebook'})
