"""Exponential moving average of the parameters, used whenever the method infers."""

import jax
import jax.numpy as jnp

from uad_jax.method import Adaptation, Method, Objective


def make(decay: float = 0.999) -> Adaptation:
  """Polyak averaging with a warm start: at step t by min(decay, (1 + t) / (10 + t)).

  A fit at the end of every step, in each stage, writes stats['ema'] from the parameters
  which the objectives before it have moved. Each stage starts the average anew, so that
  a network keeps what it was when later ones were trained beside it: only those of the
  last training stage are averaged in the end. The method's own fits (calibrations) see
  the averaged parameters, as inference does.
  """

  def adapt(method: Method) -> Method:
    def init(key, batch):
      params, stats = method.init(key, batch)
      # A copy: an alias of the parameters would be donated twice.
      return params, stats | {'ema': jax.tree.map(jnp.copy, params)}

    def average(params, stats, batch, key, step):
      rate = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
      ema = jax.tree.map(lambda a, p: rate * a + (1 - rate) * p, stats['ema'], params)
      return jnp.zeros(()), (stats | {'ema': ema}, {})

    def averaged(fit: Objective) -> Objective:
      return fit._replace(
        loss=lambda params, stats, *rest: fit.loss(stats['ema'], stats, *rest)
      )

    objectives = {
      name: objective if objective.trains else averaged(objective)
      for name, objective in method.objectives.items()
    }
    stages = {
      objective.stage: objective.split
      for objective in method.objectives.values()
      if objective.trains
    }
    averages = {
      f'ema_{stage}': Objective(average, stage=stage, split=split)
      for stage, split in stages.items()
    }

    def infer(params, stats, batch, key):
      return method.infer(stats['ema'], stats, batch, key)

    return Method(init, {**objectives, **averages}, infer)

  return adapt
