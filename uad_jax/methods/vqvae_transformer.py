"""Discrete codes and their autoregressive density (Pinaya et al. 2021, 2022)."""

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
  """A VQ-VAE, then a causal transformer over its codes; what is unlikely is healed.

  Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with
  transformers", Medical Image Analysis 79, 2022 (and arXiv 2102.11650). Stage 0:
  L = mean |x - D(e)| + commitment mean |sg(e) - E(x)|^2, e the nearest code, gradients
  passed straight through; codes follow by exponential averages, dead ones begin anew.
  Stage 1: the cross-entropy of each code given those before it, in a raster order.

  At inference, for each of `rasters` orders: l = log p(code | codes before); the codes
  with p < `likely` are drawn anew, one after another, given the healed ones before
  (with a cache of keys and values), and decoded. Departing from the paper, one network
  serves all orders (each training scan draws one), with ordinary attention instead of
  Performer's.

  Outputs: 'reconstruction' (the mean of 'healed'), 'decoded' (the codes as they are),
  'improbability' [B, *S, 1] (-l, mean over orders, on the image's grid), 'log_prob' [B]
  (sum of l, mean over orders), 'healed' [B, orders, *S, C] and 'heal_mask' [B, orders,
  *S, 1].

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid.
    units: Residual units at each.
    codes: K.
    size: Values of a code.
    decay: Of the averages that the codes follow.
    commitment: Weight of the second term.
    width: Channels of the transformer.
    depth: Its blocks.
    heads: Its attention heads.
    rasters: Orders of the ensemble; 1 to 8 in 2-D, to 48 in 3-D.
    likely: Probability under which a code is healed.
  """
  coarse = halved_grid(shape, len(widths))
  ways = jnp.asarray(raster_orders.raster(coarse, rasters))
  places = ways.shape[1]
  net = vqvae.make(shape, channels, widths, units, codes, size, decay, commitment)
  prior = Transformer(codes, rasters, places, width, depth, heads)

  def sequence(tokens, way):
    """What the transformer is told of tokens [B, L] in the order `way` [B]."""
    asked = ways[way]
    ordered = jnp.take_along_axis(tokens, asked, 1)
    before = jnp.concatenate([codes + way[:, None], ordered[:, :-1]], 1)
    nowhere = jnp.full((len(tokens), 1), places)
    at = jnp.concatenate([nowhere, asked[:, :-1]], 1)
    return ordered, before, at, asked

  def log_likelihood(params, tokens, way):
    """log p of each token given those before it, in the order's turn; [B, L]."""
    ordered, before, at, asked = sequence(tokens, way)
    logits = prior.apply({'params': params['transformer']}, before, at, asked)
    each = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(each, ordered[..., None], -1)[..., 0]

  def init(key, batch: Batch):
    key_net, key_prior = jax.random.split(key)
    params, stats, _ = net.init(key_net, batch['image'])
    zeros = jnp.zeros((1, places), jnp.int32)
    density = prior.init(key_prior, zeros, zeros, zeros)
    return {**params, 'transformer': density['params']}, stats

  def predict(params, stats, batch: Batch, key, step):
    _, tokens = net.encode(params, stats, batch)
    way = jax.random.randint(key, (len(tokens),), 0, rasters)
    each = log_likelihood(params, tokens.reshape(len(tokens), -1), way)
    return -losses.example_mean(each.mean(-1), batch['weight']), (stats, {})

  def heal(params, tokens, way, unlikely, key):
    """The tokens [B, L] by place, those `unlikely` [B, L] (in turn) drawn anew."""
    ordered, _, _, asked = sequence(tokens, way)
    variables = {'params': params['transformer']}
    nowhere = jnp.full(len(tokens), places)

    def turn(carried, now):
      cache, before, at = carried
      t, original, place, bad = now
      logits, cache = prior.apply(
        variables, before, at, place, cache, t, method=Transformer.step
      )
      drawn = jax.random.categorical(jax.random.fold_in(key, t), logits)
      kept = jnp.where(bad, drawn, original)
      return (cache, kept, place), kept

    turns = (jnp.arange(places), ordered.T, asked.T, unlikely.T)
    first = (prior.empty(len(tokens)), codes + way, nowhere)
    _, healed = jax.lax.scan(turn, first, turns)
    return by_place(healed.T, asked)

  def by_place(values, asked):
    """From the order's turns to the places, [B, L]."""
    return jnp.take_along_axis(values, jnp.argsort(asked, axis=1), 1)

  def infer(params, stats, batch: Batch, key):
    book, mask = stats['codebook']['codes'], batch['mask']
    _, tokens = net.encode(params, stats, batch)
    count = len(tokens)
    flat = jnp.repeat(tokens.reshape(count, -1), rasters, 0)
    way = jnp.tile(jnp.arange(rasters), count)
    each = log_likelihood(params, flat, way)
    unlikely = each < jnp.log(likely)
    healed = heal(params, flat, way, unlikely, key)

    def fine(values, method):
      """By place [B * orders, L] to the image's grid, [B, orders, *S, 1]."""
      maps = by_place(values, ways[way]).reshape(-1, *coarse, 1)
      maps = jax.image.resize(maps, (len(maps), *shape, 1), method)
      return maps.reshape(count, rasters, *shape, 1)

    images = net.decode(params, book[healed.reshape(-1, *coarse)])
    images = images.reshape(count, rasters, *shape, channels) * mask[:, None]
    return {
      'latent': book[tokens],
      'features': net.features(params, batch),
      'reconstruction': images.mean(1),
      'decoded': net.decode(params, book[tokens]) * mask,
      'improbability': -fine(each, 'linear').mean(1),
      'log_prob': each.sum(-1).reshape(count, rasters).mean(1),
      'healed': images,
      'heal_mask': fine(unlikely.astype(jnp.float32), 'linear'),
    }

  objectives = {
    'autoencoder': net.objective,
    'transformer': Objective(predict, ('transformer',), stage=1),
  }
  return Method(init, objectives, infer)
