"""Adaptation that trains several members of a method at once: a deep ensemble."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.adapt.families.parameter_draws import members as of_members
from uad_jax.method import Adaptation, Method, Objective
from uad_jax.ops.limits import check_whole


def make(members: int = 5) -> Adaptation:
  """Builds an adaptation that turns a method into a deep ensemble of it.

  Lakshminarayanan et al. 2017. All parameters and statistics get a leading axis of the
  N members, over which losses and inference are mapped (`mapped`). Members differ by
  their initial parameters and by the random numbers of their losses; they see the same
  batches. Each output is the mean over the members, a log-variance the logarithm of the
  mean variance; 'reconstruction_members', 'prior_members' and
  'displacement_members' are those of each.

  The gradient is that of the sum of the members' losses, so that Adam moves each member
  as if alone; a limit to the norm of the gradient is shared. `uad_jax.ensembles` joins
  runs that were trained one by one.

  Args:
    members: Number of members N, at least 2.

  Returns:
    An adaptation, Method -> Method.
  """
  check_whole('ensemble: members', members, 2)

  def of_all(objective: Objective) -> Objective:
    def loss(params, stats, batch, key, step):
      keys = jax.random.split(key, members)

      def member(params, stats, key):
        return objective.loss(params, stats, batch, key, step)

      values, (stats, metrics) = mapped(member, (0, 0, 0), members)(params, stats, keys)
      # The value is the mean, the gradient that of the sum.
      total = values.sum()
      value = total + jax.lax.stop_gradient(values.mean() - total)
      metrics = {name: metric.mean(0) for name, metric in metrics.items()}
      return value, (stats, metrics)

    def passes(stats):
      return objective.passes(jax.tree.map(lambda leaf: leaf[0], stats))

    return objective._replace(loss=loss, passes=passes if objective.passes else None)

  def adapt(method: Method) -> Method:
    def init(key, batch):
      return jax.vmap(method.init, (0, None))(jax.random.split(key, members), batch)

    def infer(params, stats, batch, key):
      keys = jax.random.split(key, members)
      stacked = mapped(method.infer, (0, 0, None, 0), members)(
        params, stats, batch, keys
      )
      return {name: mean(name, value) for name, value in stacked.items()} | of_members(
        stacked
      )

    objectives = {name: of_all(o) for name, o in method.objectives.items()}
    return method._replace(
      init=init,
      objectives=objectives,
      infer=infer,
      without=method.without and jax.vmap(method.without, (0, None)),
    )

  return adapt


def mapped(function: Callable, axes: tuple[int | None, ...], members: int) -> Callable:
  """Maps a function over the members, as `jax.vmap` does with axes of 0 or None.

  On a CPU it is applied to one member after the other, since XLA has no fast
  convolution there whose kernels differ between the examples of a batch.

  Args:
    function: (*arguments) -> a tree of arrays.
    axes: 0 for an argument with a leading axis of members, None for a shared one.
    members: Number of members.
  """
  if jax.default_backend() != 'cpu':
    return jax.vmap(function, axes)

  def of_member(index: int, argument, axis: int | None):
    if axis is None:
      return argument
    return jax.tree.map(lambda leaf: leaf[index], argument)

  def one_by_one(*arguments):
    results = [
      function(*map(of_member, [index] * len(axes), arguments, axes))
      for index in range(members)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

  return one_by_one


def mean(name: str, stacked: jax.Array) -> jax.Array:
  """Averages an output over the members; log-variances as variances.

  Args:
    name: Name of the output.
    stacked: [N, ...].
  """
  if name.endswith('_log_variance'):
    return jax.nn.logsumexp(stacked, 0) - jnp.log(len(stacked))
  return stacked.mean(0)
