"""Adaptation that trains on both domains and aligns the moments of their codes."""

from collections.abc import Sequence

from uad_jax.adapt.families import both_domains
from uad_jax.adapt.families.both_domains import SOURCE, TARGET, latent_vector
from uad_jax.method import Adaptation, Method
from uad_jax.ops.limits import check_number
from uad_jax.ops.moment_matching import coral, mean_distance, moments


def make(
  covariance: float = 1.0,
  mean: float = 0.0,
  objectives: Sequence[str] = (),
  stage: int = 0,
) -> Adaptation:
  """Builds an adaptation that aligns the latent codes of source and target scans.

  The loss of each objective is

    L(source) + L(target) + covariance |C_s - C_t|_F^2 / (4 Z^2)
      + mean |m_s - m_t|^2 / Z,

  L the method's loss, m and C mean and covariance of the latent vectors [Z] of a batch;
  a latent map is averaged over its places. The third term is Deep CORAL (Sun and Saenko
  2016), the last matches the means. Departing from the paper the loss of the target is
  trained too, as it needs no labels here.

  All networks of the objectives move. Those that feed the latent code, in general the
  encoder, get the gradient of the last two terms.

  Args:
    covariance: Weight of the distance of the covariances, 0 or more. The paper chooses
      it so that the term and the task loss are about equal at the end; see the metric
      'coral'.
    mean: Weight of the distance of the means, 0 or more.
    objectives: Names of the objectives to train; all that train a network by default.
    stage: Training stage of the objectives.

  Returns:
    An adaptation, Method -> Method. `init` of the method raises ValueError if there is
    no latent code that the objectives can move.

  Raises:
    ValueError: A weight is negative or both are 0, or the method has no such objective.
  """
  check_number('coral: covariance', covariance, 0)
  check_number('coral: mean', mean, 0)
  if not covariance and not mean:
    raise ValueError('coral: covariance and mean are 0; allowed is one of them above 0')

  def adapt(method: Method) -> Method:
    names = both_domains.chosen(method, objectives, 'coral')

    def init(key, batch):
      params, stats = method.init(key, batch)
      both_domains.latent_size(method, names, params, stats, batch, 'coral')
      return params, stats

    def term(params, stats, batches, key, step):
      (mean_s, covariance_s), (mean_t, covariance_t) = (
        moments(
          latent_vector(method, params, stats, batches[split], key),
          batches[split]['weight'],
        )
        for split in (SOURCE, TARGET)
      )
      metrics = {
        'coral': coral(covariance_s, covariance_t),
        'means': mean_distance(mean_s, mean_t),
      }
      return covariance * metrics['coral'] + mean * metrics['means'], metrics

    added = both_domains.joint(method, names, term, 'coral', stage)
    return method._replace(init=init, objectives={**method.objectives, **added})

  return adapt
