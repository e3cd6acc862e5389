"""Adaptation with few target scans by a classifier of pairs of scans (FADA)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.adapt.families import both_domains, pair_groups
from uad_jax.adapt.families.both_domains import BOTH, SOURCE, TARGET, latent_vector
from uad_jax.adapt.families.pair_classes import CLASSES, classes_by
from uad_jax.adapt.families.pair_groups import GROUPS, SAME
from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Adaptation, Array, Bound, Method, Objective
from uad_jax.nets.discriminator import Discriminator
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole

SEED = 0x666164  # keeps the discriminator's initial values apart from the method's

HIDDEN = (64, 64)
"""Units of the two hidden layers of the discriminator."""

BOUNDS = (
  Bound(
    'pairs',
    0.01,
    sign_of='classes without a pair: fewer bins or larger batches are needed',
    fatal=True,
  ),
)
"""Bounds of the discriminator's objective."""


def make(
  classes: str = 'position',
  gamma: float = 0.2,
  bins: int = 8,
  pairs: int = 64,
  dcd_steps: int = 1,
  painters: Sequence[str] = synthetic_lesions.TRAINING,
  polarity: str = 'both',
  objectives: Sequence[str] = (),
  stage: int = 0,
) -> Adaptation:
  """Builds an adaptation that confuses a classifier of pairs of scans (FADA).

  Motiian et al., "Few-shot adversarial domain adaptation", NeurIPS 2017. The groups of
  pairs are those of `pair_groups`; phi is the concatenation of the latent vectors of a
  pair (a latent map is averaged over its places). The paper's first stage, training on
  the source, is the run that is adapted. Two stages follow:

    `stage`      the domain-class discriminator D (DCD) alone, objective 'fada_dcd':
                 minimise -E_i log D_i(phi(G_i)), i = 1 ... 4
    `stage` + 1  D again ('fada_dcd_again'), and then the objectives of the method:
                 L(source) + L(target) - gamma [E log D_1(phi(G2)) + E log D_3(phi(G4))]

  L is the method's loss: pairs across scanners are to look like pairs of one scanner,
  and classes stay apart. The paper has labels of diseases or objects; healthy scans
  have none, so classes are a variant of this project:

    'position'  bins of the slice height, for slices only
    'painted'   with and without synthetic lesions, painted into half of the scans
    'two'       one class: G1 against G2 only, with the risk that all codes collapse

  All networks of the objectives move. Those that feed the latent code, in general the
  encoder, get the gradient of the last term.

  Args:
    classes: 'position', 'painted' or 'two'.
    gamma: Weight of the last term, above 0. It was not published; a grid to search is
      0.05, 0.1, 0.2, 0.5, by the residual on healthy target scans held out.
    bins: Number of bins of 'position', 2 or more.
    pairs: Largest number of pairs of a group in a batch; all groups have the size of
      the smallest.
    dcd_steps: Steps of D for each step of the method in the second stage.
    painters: Kinds of synthetic lesions of 'painted'.
    polarity: Their polarity, see `synthetic_lesions.one_sided`.
    objectives: Names of the objectives to train; all that train a network by default.
    stage: Number of the first of the two stages.

  Returns:
    An adaptation, Method -> Method, which adds the network 'dcd' and the metrics
    'pairs', the size of a group, and 'accuracy' of D. `init` of the method raises
    ValueError if there is no latent code that the objectives can move, or if volumes
    are to have bins of slice height.

  Raises:
    ValueError: An option is out of range, or the method has no such objective.
  """
  check_choice('classes', classes, CLASSES, 'fada')
  check_number('fada: gamma', gamma, 0, above=True)
  check_whole('fada: bins', bins, 2)
  check_whole('fada: pairs', pairs, 1)
  check_whole('fada: dcd_steps', dcd_steps, 1)
  groups = SAME if classes == 'two' else GROUPS
  net = Discriminator(groups, HIDDEN)
  classify = classes_by(classes, bins, painters, polarity)

  def adapt(method: Method) -> Method:
    names = both_domains.chosen(method, objectives, 'fada')

    def init(key, batch):
      if classes == 'position' and batch['image'].ndim > 4:
        raise ValueError(
          "fada: classes is 'position' and the scans are volumes, which have no slice "
          "height; allowed are 'painted' and 'two'"
        )
      params, stats = method.init(key, batch)
      size = both_domains.latent_size(method, names, params, stats, batch, 'fada')
      variables = net.init(jax.random.fold_in(key, SEED), jnp.zeros((1, 2 * size)))
      return {**params, 'dcd': variables['params']}, stats

    def examine(params, stats, batches, key) -> tuple[Array, Array]:
      """Log-probabilities [G, P, G] of the pairs of each group, and weights [P]."""
      key_pairs, *keys = jax.random.split(key, 3)
      labels, codes = [], []
      for key_class, split in zip(keys, (SOURCE, TARGET), strict=True):
        labelled, label = classify(key_class, batches[split])
        labels.append(label)
        codes.append(latent_vector(method, params, stats, labelled, key_class))
      weights = (batches[split]['weight'] for split in (SOURCE, TARGET))
      drawn = pair_groups.draw(key_pairs, *labels, *weights, pairs, groups)
      z = jnp.concatenate(codes)
      phi = jnp.concatenate([z[drawn.first], z[drawn.second]], -1)
      return net.apply({'params': params['dcd']}, phi), drawn.weight

    def dcd_loss(params, stats, batches, key, step):
      log_d, weight = examine(params, stats, batches, key)
      likelihoods = [_mean(log_d[i, :, i], weight) for i in range(groups)]
      right = log_d.argmax(-1) == jnp.arange(groups)[:, None]
      metrics = {
        'pairs': weight.sum(),
        'accuracy': _mean(right.astype(jnp.float32).mean(0), weight),
      }
      return -sum(likelihoods) / groups, (stats, metrics)

    def term(params, stats, batches, key, step):
      log_d, weight = examine(params, stats, batches, key)
      # Rows 1 and 3 are G2 and G4, which D is to take for G1 and G3.
      confused = sum(_mean(log_d[i, :, i - 1], weight) for i in range(1, groups, 2))
      return -gamma * confused, {'confused': confused}

    added = {
      'fada_dcd': Objective(dcd_loss, ('dcd',), stage, 1, BOTH, BOUNDS),
      'fada_dcd_again': Objective(dcd_loss, ('dcd',), stage + 1, 1, BOTH, BOUNDS),
      **both_domains.joint(method, names, term, 'fada', stage + 1, dcd_steps),
    }
    return method._replace(init=init, objectives={**method.objectives, **added})

  return adapt


def _mean(value: Array, weight: Array) -> Array:
  """Mean over the pairs of a group, 0 where there are none."""
  return (value * weight).sum() / jnp.maximum(weight.sum(), 1.0)
