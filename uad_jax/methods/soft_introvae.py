"""Variational auto-encoder whose encoder tells generated images by its own bound.

Daniel and Tamar 2021 ("Soft-IntroVAE: analyzing and improving the introspective
variational autoencoder"). With an embedding loss it is the reversed auto-encoder of
Bercea et al. 2023 ("Reversing the abnormal").
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Bound, Key, Method, Objective, Params
from uad_jax.methods.families import variational
from uad_jax.ops import losses
from uad_jax.ops.limits import check_number


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 64, 64),
  latent: int = 128,
  beta_rec: float = 0.5,
  beta_kl: float = 1.0,
  beta_neg: float = 128.0,
  gamma: float = 1e-8,
  embedding: float = 0.0,
) -> Method:
  """Builds the introspective auto-encoder with soft exponential terms.

  With s = 1 / (number of voxels and channels), the squared error R(x) of the
  reconstruction of x, summed over the brain, KL(x) = KL(q(z | x) || N(0, I)), the
  reconstruction r of a scan and an image f generated from a draw of N(0, I), the two
  networks minimise in turn

    encoder: s (b_rec R(x) + b_kl KL(x))
             + 1/4 sum_(y in r, f) exp(-2 s (b_rec R(y) + b_neg KL(y)))
    decoder: s (b_rec R(x) + b_kl / 2 (KL(r) + KL(f)) + gamma b_rec / 2 (R(r) + R(f))),

  where in R(r) and R(f) of the decoder the compared image is constant. `embedding` adds
  to both its weight times 1/2 |e - e'|^2 + 1 - cos(e, e'), averaged over places, of the
  encoder's first features of the scan and of its reconstruction.

  Stage 0 trains both networks as a variational auto-encoder, s (b_rec R + b_kl KL);
  stage 1 as above. The score of the paper's authors for anomalies is the residual of
  the mean code. Departure: the networks are those of the study of Baur et al. 2021
  (`variational.study`), not residual ones.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Size of the latent vector.
    beta_rec: b_rec.
    beta_kl: b_kl, at least b_rec by the authors' advice.
    beta_neg: b_neg; a larger one against divergence.
    gamma: Weight of the reconstructions of generated images.
    embedding: Weight of the embedding loss; 0.005 in the reversed auto-encoder.
  """
  for name, value in dict(
    beta_rec=beta_rec, beta_kl=beta_kl, beta_neg=beta_neg
  ).items():
    check_number(f'soft_introvae: {name}', value, 0, above=True)
  check_number('soft_introvae: gamma', gamma, 0)
  check_number('soft_introvae: embedding', embedding, 0)
  nets = variational.study(shape, channels, widths, latent, dropout=0.0)
  scale = 1 / (channels * math.prod(shape))

  def decoded(params: Params, z: Array, batch: Batch) -> Array:
    return nets.decode(params, z, batch['position'], None)[0] * batch['mask']

  def brain(batch: Batch) -> Array:
    """Scans whose background is 0, as that of generated images is."""
    return batch['image'] * batch['mask']

  def coded(params: Params, image: Array, key: Key) -> tuple[Array, Array]:
    """A draw of the code of each image, and its KL divergence [B]."""
    mean, log_variance = nets.encode(params, image, None)
    kl = losses.example_sum(losses.kl_normal(mean, log_variance))
    return variational.sample(key, mean, log_variance), kl

  def error(image: Array, other: Array, batch: Batch) -> Array:
    return losses.example_sum((image - other) ** 2 * batch['mask'])

  def likeness(params: Params, image: Array, other: Array) -> Array:
    """Distance of the embeddings of two images, [B]."""
    if not embedding:
      return jnp.zeros(len(image))
    a, b = (nets.features(params, x) for x in (image, other))
    norms = jnp.sqrt((a**2).sum(-1) * (b**2).sum(-1) + 1e-12)
    cosine = (a * b).sum(-1) / norms
    apart = 0.5 * ((a - b) ** 2).mean(-1) + 1 - cosine
    return embedding * apart.mean(range(1, apart.ndim))

  def init(key, batch: Batch):
    return nets.init(key, batch), {}

  def plain(params, stats, batch: Batch, key, step):
    z, kl = coded(params, brain(batch), key)
    rec = error(batch['image'], decoded(params, z, batch), batch)
    terms = {'rec': scale * rec, 'kl': scale * kl}
    terms = {k: losses.example_mean(v, batch['weight']) for k, v in terms.items()}
    return beta_rec * terms['rec'] + beta_kl * terms['kl'], (stats, terms)

  def generated(params, batch: Batch, keys) -> tuple[Array, Array, Array]:
    """KL of the scans [B], their reconstructions, and images of random codes."""
    z, kl = coded(params, brain(batch), keys[0])
    noise = jax.random.normal(keys[1], z.shape)
    return kl, decoded(params, z, batch), decoded(params, noise, batch)

  def train_encoder(params, stats, batch: Batch, key, step):
    keys, image = jax.random.split(key, 4), brain(batch)
    kl, rec, fake = generated(params, batch, keys)
    loss = scale * (beta_rec * error(image, rec, batch) + beta_kl * kl)
    loss += likeness(params, image, rec)
    divergences = {}
    for name, other, draw in (('rec', rec, keys[2]), ('fake', fake, keys[3])):
      other = jax.lax.stop_gradient(other)
      z, divergences[name] = coded(params, other, draw)
      again = error(other, decoded(params, z, batch), batch)
      bound = scale * (beta_rec * again + beta_neg * divergences[name])
      loss += 0.25 * jnp.exp(-2 * bound)
    terms = {'total': loss, 'kl': kl, 'gap': divergences['fake'] - kl}
    terms = {k: losses.example_mean(v, batch['weight']) for k, v in terms.items()}
    return terms.pop('total'), (stats, terms)

  def train_decoder(params, stats, batch: Batch, key, step):
    keys, image = jax.random.split(key, 4), brain(batch)
    _, rec, fake = generated(params, batch, keys)
    loss = scale * beta_rec * error(image, rec, batch) + likeness(params, image, rec)
    for other, draw in ((rec, keys[2]), (fake, keys[3])):
      z, kl = coded(params, other, draw)
      again = decoded(params, jax.lax.stop_gradient(z), batch)
      fixed = jax.lax.stop_gradient(other)
      loss += scale * 0.5 * beta_kl * kl
      loss += scale * 0.5 * gamma * beta_rec * error(fixed, again, batch)
    return losses.example_mean(loss, batch['weight']), (stats, {})

  trouble = 'an encoder that takes generated images for scans; a larger beta_neg helps'
  bounds = (Bound('gap', low=0.0, sign_of=trouble, after=200),)
  objectives = {
    'vae': Objective(plain, ('encoder', 'decoder')),
    'encoder': Objective(train_encoder, ('encoder',), stage=1, bounds=bounds),
    'generator': Objective(train_decoder, ('decoder',), stage=1),
  }
  of_masked = variational.inference(nets, variational.squared_error, bayesian=False)

  def infer(params, stats, batch: Batch, key):
    return of_masked(params, stats, {**batch, 'image': brain(batch)}, key)

  return Method(init, objectives, infer)
