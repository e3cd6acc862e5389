"""Adaptation that makes a method infer with averages of its parameters (EMA)."""

import numbers

import jax
import jax.numpy as jnp

from uad_jax.adapt.families.parameter_draws import check_own_parameters
from uad_jax.method import Adaptation, Method, Objective


def make(decay: float = 0.999) -> Adaptation:
  """Builds an adaptation that makes a method infer with averaged parameters (EMA).

  Polyak averaging: exponential moving average with a warm start; at step t of a stage
  ema = r ema + (1 - r) params, r = min(decay, (1 + t) / (10 + t)).

  At the end of each training step an added objective ('ema_0' in stage 0) updates
  stats['ema'] from the parameters that the earlier objectives of this step have
  trained. The warm start begins again in each stage that trains, so that a network
  which the last of these stages does not train ends with its trained parameters, not
  with an average of earlier ones. The fits of the method (calibrations) see the
  averaged parameters, like inference.

  Args:
    decay: Largest weight r of the previous average, in [0, 1).

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: The decay is not a number in [0, 1); or, by the adaptation, if the
      method infers with other parameters than its trained ones (`swag`).
  """
  if not isinstance(decay, numbers.Real) or not 0 <= decay < 1:
    raise ValueError(f'ema: decay is {decay}; allowed are numbers in [0, 1)')

  def adapt(method: Method) -> Method:
    check_own_parameters('ema', method)

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

    kinds = {**method.kinds, 'ema': 'average'}
    return method._replace(
      init=init, objectives={**objectives, **averages}, infer=infer, kinds=kinds
    )

  return adapt
