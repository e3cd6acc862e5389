"""Adaptation that adds a perceptual loss to the training of a method."""

import functools
from collections.abc import Sequence

import jax.numpy as jnp

from uad_jax.adapt.families.both_domains import chosen
from uad_jax.detectors.families.feature_bank import chosen_output, place_weight
from uad_jax.features import networks
from uad_jax.method import Adaptation, Array, Batch, Method, Objective
from uad_jax.ops.limits import check_number
from uad_jax.ops.losses import masked_mean


def make(
  alpha: float = 0.05,
  of: str = 'prior',
  objectives: Sequence[str] = (),
  network: str = 'masked',
  weights: str = '',
  widths: Sequence[int] = (32, 64, 128),
  share: float = 0.5,
  cell: int = 8,
) -> Adaptation:
  """Builds an adaptation that compares features of scans with those of their images.

  The loss of each objective becomes

    L + alpha mean over levels l and the brain of |f_l(x) - f_l(x')|^2 / K_l,

  f being the maps of a network of features and x' an output of the method: the
  perceptual loss of Johnson et al. 2016, which the deformable auto-encoder for brain
  MRI has on its prior image (Bercea et al. 2023), there with VGG-19. The network of
  features is trained in a first stage before those of the method, or its weights are
  given.

  Departure: x' is inferred as after the training, so that batch normalisation uses its
  running statistics in this term.

  Args:
    alpha: Weight of the term, above 0.
    of: Output of the method that is compared: 'prior' or 'reconstruction'.
    objectives: Names of the objectives; all that train a network by default.
    network: Network of features, see `methods.feature_network`.
    weights: File of its weights, see `features.stored_weights`.
    widths: Channels of its levels, from fine to coarse.
    share: Share of the image that is hidden in its training.
    cell: Edge length of a hidden cell, in voxels.

  Raises:
    ValueError: An option is not allowed; or, by the adaptation, the method has no such
      objective, and by its `init` no such output.
  """
  check_number('perceptual: alpha', alpha, 0, above=True)

  def adapt(method: Method) -> Method:
    names = chosen(method, objectives, 'perceptual')

    @functools.cache  # a file of weights is read once
    def extractor_of(channels: int) -> networks.Extractor:
      return networks.build(
        network, weights, channels, widths, share, cell, 'perceptual'
      )

    def init(key, batch: Batch):
      params, stats = method.init(key, batch)
      chosen_output(method.infer(params, stats, batch, key), of, 'perceptual')
      return params | extractor_of(batch['image'].shape[-1]).init(key, batch), stats

    def apart(params, stats, batch: Batch, key) -> Array:
      image = jnp.asarray(batch['image'])
      extractor = extractor_of(image.shape[-1])
      other = method.infer(params, stats, batch, key)[of]
      pairs = zip(
        extractor.maps(params, image), extractor.maps(params, other), strict=True
      )
      levels = []
      for a, b in pairs:
        weight = place_weight(batch, a.shape[1:-1])
        levels.append(masked_mean((a - b) ** 2, weight))
      return sum(levels) / len(levels)

    def with_term(objective: Objective) -> Objective:
      def loss(params, stats, batch: Batch, key, step):
        value, (new, metrics) = objective.loss(params, stats, batch, key, step)
        term = apart(params, stats, batch, key)
        return value + alpha * term, (new, {**metrics, 'perceptual': term})

      return objective._replace(loss=loss)

    def pretext(params, stats, batch: Batch, key, step):
      (objective,) = extractor_of(batch['image'].shape[-1]).objectives.values()
      return objective.loss(params, stats, batch, key, step)

    trained = {}
    if network == 'masked':
      trained = {'pretext': Objective(pretext, ('features', 'pretext'))}
    later = {
      name: (with_term(o) if name in names else o)._replace(
        stage=o.stage + len(trained)
      )
      for name, o in method.objectives.items()
    }
    return method._replace(init=init, objectives=trained | later)

  return adapt
