"""Rectified flow that moves anomalous images to healthy ones in one step (REFLECT)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.diffusion_unet import DiffusionUNet
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.residual_sign import POLARITIES


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128),
  blocks: int = 1,
  attention: int = 16,
  heads: int = 2,
  painters: Sequence[str] = ('patch', 'constant', 'shift', 'texture'),
  share: float = 0.8,
  steps: int = 1,
  reflow: int = 0,
  position: bool = True,
  polarity: str = 'both',
) -> Method:
  """Builds a flow along straight lines from anomalous images to healthy ones.

  L = mean over the brain of (v(x_t, t) - (x_0 - x_1))^2, x_t = (1 - t) x_1 + t x_0, t
  uniform in [0, 1), with the healthy image x_0 and the same image with synthetic
  anomalies x_1.

  Beizaee, Hajimiri, Ben Ayed, Lodygensky, Desrosiers, Dolz, "REFLECT: rectified flows
  for efficient brain anomaly correction transport", MICCAI 2025; rectified flows are of
  Liu, Gong, Liu, "Flow straight and fast", ICLR 2023. At inference a scan is taken for
  x_1 and moved by Euler steps, x <- x + v(x, k / steps) / steps for k = 0, 1, ...; the
  lines are straight, so that one step may do. A second stage (`reflow`) straightens
  the flow: its pairs are images x_1 and the ends z to which the flow of the first stage
  moves them, L = mean of (v(x_t, t) - (z - x_1))^2, x_t = (1 - t) x_1 + t z. The
  parameters of the first flow are kept in stats['teacher'] when the stage starts.

  Outputs: 'reconstruction' is the image after the last step; 'restored' [B, *S, 1] the
  mean over the steps of |v|, averaged over channels: the length of the path, which
  exceeds the residual where the path is not straight.

  Departures: images instead of the latent code of a Kullback-Leibler auto-encoder, as a
  slice of 64 x 64 is about as small as the published code; anomalies are this package's
  synthetic lesions; a share of the images stays healthy, with velocity 0; slice height
  by FiLM. The second stage is that of Liu et al.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels of the U-Net by level, finest first.
    blocks: Residual blocks at each level.
    attention: Longest edge in voxels of a grid with attention; 0 for no attention.
    heads: Number of attention heads.
    painters: Kinds of synthetic anomalies, names from `painters.TRAINING`.
    share: Share of the training scans with synthetic anomalies, in [0, 1].
    steps: Euler steps at inference, 1 or more.
    reflow: Euler steps of the first flow in the second stage; 0 for no second stage.
    position: Give the slice height to the network.
    polarity: Allowed changes of intensity, see `synthetic_lesions.one_sided`.

  Raises:
    ValueError: An option is out of its range, or a name is unknown.
  """
  check_whole('rectified_flow: number of painters', len(painters), 1)
  for name in painters:
    check_choice('painter', name, synthetic_lesions.TRAINING, 'rectified_flow')
  check_choice('polarity', polarity, POLARITIES, 'rectified_flow')
  check_number('rectified_flow: share', share, 0, 1)
  check_whole('rectified_flow: steps', steps, 1)
  check_whole('rectified_flow: reflow', reflow, 0)
  net = DiffusionUNet(widths, channels, blocks, attention, heads)

  def height(batch):
    return position_features(batch['position']) if position else None

  def velocity(unet, batch, image, time):
    """v(x, t), 0 outside of the brain, [B, *S, C]; t is [B]."""
    inputs = image, 1000.0 * time, height(batch)
    return net.apply({'params': unet}, *inputs) * batch['mask']

  def transport(unet, batch, image, number):
    """Moves images from t = 0 to 1 in `number` steps; also the mean |v|."""

    def euler(image, time):
      v = velocity(unet, batch, image, jnp.full(len(image), time))
      return image + v / number, jnp.abs(v).mean(-1, keepdims=True)

    image, speeds = jax.lax.scan(euler, image, jnp.arange(number) / number)
    return image, speeds.mean(0)

  def init(key, batch: Batch):
    time = jnp.zeros(len(batch['image']))
    unet = net.init(key, batch['image'], time, height(batch))['params']
    # A copy: an alias of the parameters would be donated twice.
    stats = {'teacher': jax.tree.map(jnp.copy, unet)} if reflow else {}
    return {'unet': unet}, stats

  def paint(key, batch):
    """Healthy images, and the same with anomalies, both [B, *S, C]."""
    image = batch['image'] * batch['mask']
    painted, _ = synthetic_lesions.paint(
      key, image, batch['mask'], painters, share, polarity=polarity
    )
    return image, painted

  def matching(params, batch, key, start, end):
    """Flow matching loss on the lines between two images, and its metrics."""
    time = jax.random.uniform(key, (len(start),))
    between = start + losses.per_example(time, start) * (end - start)
    weight = losses.voxel_weight(batch)
    apart = (velocity(params['unet'], batch, between, time) - (end - start)) ** 2
    error = losses.masked_mean(apart, weight)
    length = losses.masked_mean((end - start) ** 2, weight)
    # Below 1 the velocity is closer to the line's direction than no motion is.
    ratio = jax.lax.stop_gradient(error / jnp.maximum(length, 1e-12))
    return error, {'left': ratio}

  def flow_loss(params, stats, batch: Batch, key, step):
    key_paint, key_time = jax.random.split(key)
    healthy, painted = paint(key_paint, batch)
    error, metrics = matching(params, batch, key_time, painted, healthy)
    return error, (stats, metrics)

  def reflow_loss(params, stats, batch: Batch, key, step):
    key_paint, key_time = jax.random.split(key)
    _, painted = paint(key_paint, batch)
    teacher = jax.tree.map(
      lambda new, kept: jnp.where(step == 0, jax.lax.stop_gradient(new), kept),
      params['unet'],
      stats['teacher'],
    )
    moved, _ = transport(teacher, batch, painted, reflow)
    moved = jax.lax.stop_gradient(moved)
    error, metrics = matching(params, batch, key_time, painted, moved)
    return error, ({**stats, 'teacher': teacher}, metrics)

  def infer(params, stats, batch: Batch, key):
    scan = batch['image'] * batch['mask']
    healed, speed = transport(params['unet'], batch, scan, steps)
    return {'reconstruction': healed, 'restored': speed}

  objectives = {'flow': Objective(flow_loss, ('unet',))}
  if not reflow:
    return Method(init, objectives, infer)
  objectives['reflow'] = Objective(reflow_loss, ('unet',), stage=1)
  return Method(init, objectives, infer, {'teacher': 'teacher'})
