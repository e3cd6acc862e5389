"""Student that predicts the features of a teacher from their embedding."""

from collections.abc import Sequence

import jax.numpy as jnp

from uad_jax.features import networks
from uad_jax.method import Array, Method
from uad_jax.methods.families import feature_restoration
from uad_jax.nets.feature_autoencoder import Student
from uad_jax.ops.limits import check_sizes


def cosine_distance(a: Array, b: Array) -> Array:
  """Computes 1 - cosine of two vectors at each place, [B, *s, 1] of [B, *s, K].

  Examples:
    >>> x = jnp.array([[[1.0, 0.0], [0.0, 2.0]]])
    >>> cosine_distance(x, x[:, ::-1]).ravel().tolist()
    [1.0, 1.0]
  """
  squares = (a**2).sum(-1, keepdims=True) * (b**2).sum(-1, keepdims=True)
  cosine = (a * b).sum(-1, keepdims=True) / jnp.sqrt(squares + 1e-12)
  return 1 - cosine


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  network: str = 'masked',
  weights: str = '',
  feature_widths: Sequence[int] = (32, 64, 128),
  share: float = 0.5,
  cell: int = 8,
  widths: Sequence[int] = (64, 128, 256),
) -> Method:
  """Builds the reverse distillation of Deng and Li 2022.

  "Anomaly detection via reverse distillation from one-class embedding": a student sees
  only an embedding of the teacher's feature maps f_l and predicts them, f'_l, from
  coarse to fine:

    L = sum over levels l of the mean over places of 1 - cos(f_l, f'_l).

  The anomaly map is the sum over levels of the same distances, interpolated to voxels;
  it is published with a Gaussian of 4 pixels at 256 x 256.

  Departures: the teacher is trained on healthy scans and not on photographs (`network`
  'resnet50' is the published kind, also with the weights of its wide variant); features
  are standardised by their mean and deviation over the training scans.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    network: Teacher, see `feature_network`.
    weights: File of its weights, see `features.stored_weights`.
    feature_widths: Channels of its levels, from fine to coarse.
    share: Share of the image that is hidden in its training.
    cell: Edge length of a hidden cell, in voxels.
    widths: Channels of the student, one for each level.

  Raises:
    ValueError: An option is not allowed, or the weights cannot be read.
  """
  check_sizes('reverse_distillation: widths', widths, range(1, 9))
  if len(widths) != len(feature_widths):
    raise ValueError(
      f'reverse_distillation: widths {tuple(widths)} and feature_widths '
      f'{tuple(feature_widths)}; allowed are as many widths as feature_widths'
    )
  extractor = networks.build(
    network, weights, channels, feature_widths, share, cell, 'reverse_distillation'
  )
  return feature_restoration.make_method(
    extractor, list, Student(widths), cosine_distance
  )
