"""A method without a network whose objectives keep the batches that they see."""

import jax.numpy as jnp
import numpy as np

from uad_jax.method import Method, Objective


def recording():
  """Makes a method whose fits keep the batch, and whose loss is the mean intensity."""

  def init(key, batch):
    return {'net': {'w': jnp.ones(())}}, {'seen': jnp.zeros_like(batch['image'])}

  def loss(params, stats, batch, key, step):
    seen = batch['image']
    return params['net']['w'] * seen.mean(), (stats | {'seen': seen}, {})

  def fit(params, stats, batch, key, step):
    return jnp.zeros(()), (stats | {'seen': batch['image']}, {})

  objectives = {
    'trained': Objective(loss, ('net',)),
    'fitted': Objective(fit),
    'calibrated': Objective(fit, split='val'),
  }

  def infer(params, stats, batch, key):
    return {'reconstruction': batch['image'] * params['net']['w']}

  return Method(init, objectives, infer)


def seen_by(method, name, batch, key):
  """Images of the batch that the objective `name` of a recording method sees."""
  params, stats = method.init(key, batch)
  loss = method.objectives[name].loss
  return np.asarray(loss(params, stats, batch, key, 0)[1][0]['seen'])
