"""Adaptation by a domain classifier that the encoder learns to confuse (DANN)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.adapt.families import both_domains
from uad_jax.adapt.families.both_domains import BOTH, SOURCE, TARGET, latent_vector
from uad_jax.method import Adaptation, Array, Method, Metrics, Objective
from uad_jax.nets.discriminator import Discriminator
from uad_jax.ops.gradient_reversal import reverse_gradient
from uad_jax.ops.limits import check_number, check_sizes, check_whole
from uad_jax.ops.losses import example_mean

SEED = 0x64616E  # keeps the classifier's initial values apart from the method's


def make(
  weight: float = 1.0,
  steps: int = 300,
  widths: Sequence[int] = (64, 64),
  objectives: Sequence[str] = (),
  stage: int = 0,
) -> Adaptation:
  """Builds an adaptation that makes latent codes indistinguishable between scanners.

  Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016. A
  classifier D predicts the domain of a latent vector z; a latent map is averaged over
  its places. At each step D is trained first, as objective 'dann_domain', by the cross
  entropy H = -(E_s log D_source(z) + E_t log D_target(z)) / 2. Then each objective of
  the method is trained by

    L(source) + L(target) + H(R(z)),

  L the method's loss and R the gradient reversal with the factor
  weight (2 / (1 + exp(-10 p)) - 1), p = step / steps up to 1.

  Departures: the loss of the target is trained too, as it needs no labels here, and D
  has an optimiser of its own, so that a method may have several objectives.

  All networks of the objectives move. Those that feed the latent code, in general the
  encoder, get the reversed gradient.

  Args:
    weight: Final factor of the reversed gradient, 1 as published.
    steps: Steps of the schedule of this factor: those of the stage.
    widths: Units of the hidden layers of D.
    objectives: Names of the objectives to train; all that train a network by default.
    stage: Training stage of the objectives.

  Returns:
    An adaptation, Method -> Method, which adds the network 'domain' and the metrics
    'accuracy', the share of scans whose domain D knows, and 'lambda'. `init` of the
    method raises ValueError if there is no latent code that the objectives can move.

  Raises:
    ValueError: An option is out of range, or the method has no such objective.
  """
  check_number('dann: weight', weight, 0, above=True)
  check_whole('dann: steps', steps, 1)
  check_sizes('dann: widths', widths, ())
  net = Discriminator(2, tuple(widths))

  def adapt(method: Method) -> Method:
    names = both_domains.chosen(method, objectives, 'dann')

    def init(key, batch):
      params, stats = method.init(key, batch)
      size = both_domains.latent_size(method, names, params, stats, batch, 'dann')
      variables = net.init(jax.random.fold_in(key, SEED), jnp.zeros((1, size)))
      return {**params, 'domain': variables['params']}, stats

    def classify(params, stats, batches, key, scale) -> tuple[Array, Metrics]:
      """Cross entropy of the domain classifier on codes behind a reversed gradient."""
      entropy, accuracy = 0.0, 0.0
      for label, split in enumerate((SOURCE, TARGET)):
        z = latent_vector(method, params, stats, batches[split], key)
        z = reverse_gradient(z, scale)
        log_probability = net.apply({'params': params['domain']}, z)
        right = (log_probability.argmax(-1) == label).astype(jnp.float32)
        present = batches[split]['weight']
        entropy -= example_mean(log_probability[:, label], present) / 2
        accuracy += example_mean(right, present) / 2
      return entropy, {'accuracy': accuracy}

    def domain_loss(params, stats, batches, key, step):
      entropy, metrics = classify(params, stats, batches, key, jnp.array(0.0))
      return entropy, (stats, metrics)

    def term(params, stats, batches, key, step):
      scale = weight * reversal(step, steps)
      entropy, metrics = classify(params, stats, batches, key, scale)
      return entropy, {**metrics, 'lambda': scale}

    domain = Objective(domain_loss, ('domain',), stage=stage, split=BOTH)
    added = both_domains.joint(method, names, term, 'dann', stage)
    added = {**method.objectives, 'dann_domain': domain, **added}
    return method._replace(init=init, objectives=added)

  return adapt


def reversal(step: Array, steps: int) -> Array:
  """Computes the factor of the gradient reversal at a step, from 0 to about 1.

  lambda = 2 / (1 + exp(-10 p)) - 1, p = min(step / steps, 1) (Ganin et al. 2016,
  section 5.2.2).

  Args:
    step: Step of the stage, from 0.
    steps: Steps of the schedule.

  Examples:
    >>> [round(float(reversal(jnp.array(step), 10)), 3) for step in (0, 1, 5, 10)]
    [0.0, 0.462, 0.987, 1.0]
  """
  progress = jnp.minimum(step / steps, 1.0)
  return 2 / (1 + jnp.exp(-10 * progress)) - 1
