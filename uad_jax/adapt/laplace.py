"""Adaptation that draws the last layer of a network from its Laplace approximation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from uad_jax.adapt.families.parameter_draws import check_own_parameters, members
from uad_jax.method import (
  Adaptation,
  Array,
  Method,
  Objective,
  Params,
  Tree,
  next_stage,
)
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import voxel_weight

AT_ONCE = 16
"""Columns of the curvature that are computed together."""


def make(
  layer: str, of: str = 'reconstruction', precision: float = 1.0, samples: int = 8
) -> Adaptation:
  """Builds an adaptation that draws the last layer from a Gaussian posterior.

  Last-layer Laplace approximation (Daxberger et al. 2021, "Laplace redux"). The output
  r is linear in the D parameters w of its last layer, so that with Gaussian noise of
  variance s^2 the posterior is N(w, H^-1) with

    H = sum over brain voxels of J' J / s^2 + precision I,   J = dr / dw,

  w the trained parameters and s^2 the mean squared residual. An objective 'laplace', in
  a stage of its own after all others, sums J' J and the residuals; one pass over the
  training scans counts each voxel once. Neighbouring voxels count as independent, so
  that the posterior is too narrow by a factor which a calibration finds
  (`evaluation.uncertainty_calibration`). The outputs 'reconstruction_members' and those
  alike are of `samples` draws; all others of the trained parameters.

  Args:
    layer: Place of the layer in the parameters, such as 'autoencoder/Head_0'.
    of: Output that is linear in this layer: 'reconstruction' or 'prior'.
    precision: Precision of the prior N(0, 1 / precision) of each parameter.
    samples: Number of draws, at least 2.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: An option is not allowed; or, by the adaptation, if the method infers
      with averaged parameters (`ema`) or has no such layer.
  """
  check_number('laplace: precision', precision, 0, above=True)
  check_whole('laplace: samples', samples, 2)
  path = tuple(layer.split('/'))

  def adapt(method: Method) -> Method:
    check_own_parameters('laplace', method)

    def init(key, batch):
      params, stats = method.init(key, batch)
      size = ravel_pytree(taken(params, path))[0].size
      sums = {
        'curvature': jnp.zeros((size, size)),
        'square': jnp.zeros(()),
        'voxels': jnp.zeros(()),
      }
      return params, stats | {'laplace': sums}

    def fit(params, stats, batch, key, step):
      w, unravel = ravel_pytree(taken(params, path))

      def output(w):
        changed = replaced(params, path, unravel(w))
        return method.infer(changed, stats, batch, key)[of]

      expected = output(w)
      weight = jnp.broadcast_to(voxel_weight(batch), expected.shape)
      sums = stats['laplace']
      sums = {
        'curvature': sums['curvature'] + curvature(output, w, weight),
        'square': sums['square'] + (weight * (batch['image'] - expected) ** 2).sum(),
        'voxels': sums['voxels'] + weight.sum(),
      }
      return jnp.zeros(()), (stats | {'laplace': sums}, {})

    def infer(params, stats, batch, key):
      w, unravel = ravel_pytree(taken(params, path))
      sums = stats['laplace']
      noise = jnp.maximum(sums['square'], 1e-12) / jnp.maximum(sums['voxels'], 1.0)
      posterior = sums['curvature'] / noise + precision * jnp.eye(len(w))
      root = jnp.linalg.cholesky(posterior)
      key_draw, key_infer = jax.random.split(key)
      normal = jax.random.normal(key_draw, (len(w), samples))
      changes = jax.scipy.linalg.solve_triangular(root.T, normal, lower=False).T

      def member(change):
        changed = replaced(params, path, unravel(w + change))
        return method.infer(changed, stats, batch, key_infer)

      return method.infer(params, stats, batch, key) | members(
        jax.vmap(member)(changes)
      )

    objectives = {
      **method.objectives,
      'laplace': Objective(fit, stage=next_stage(method)),
    }
    kinds = {**method.kinds, 'laplace': 'posterior'}
    return method._replace(init=init, objectives=objectives, infer=infer, kinds=kinds)

  return adapt


def curvature(output: Callable[[Array], Array], w: Array, weight: Array) -> Array:
  """Computes J' diag(weight) J of a function that is linear in w, up to a constant.

  Columns are computed `AT_ONCE` at a time and no Jacobian is stored, so that memory
  does not grow with D times the voxels. J v is output(w + v) - output(w), as the
  package's convolutions have no derivative in forward mode.

  Args:
    output: Function from [D] to the shape of `weight`.
    w: [D].
    weight: Weights of the outputs.

  Returns:
    [D, D].
  """
  here, pull = jax.vjp(output, w)

  def column(v):
    return pull(weight * (output(w + v) - here))[0]

  return jax.lax.map(column, jnp.eye(len(w)), batch_size=AT_ONCE)


def taken(params: Params, path: tuple[str, ...]) -> Tree:
  """Returns the parameters at a place.

  Raises:
    ValueError: There is no such place; the message lists the names at the last level
      that there is.
  """
  for depth, name in enumerate(path):
    if not isinstance(params, dict) or name not in params:
      names = ', '.join(params) if isinstance(params, dict) else 'no names'
      raise ValueError(
        f"laplace: no layer '{'/'.join(path[: depth + 1])}'; there are {names}"
      )
    params = params[name]
  return params


def replaced(params: Params, path: tuple[str, ...], layer: Tree) -> Params:
  """Returns parameters with those at a place replaced."""
  name, *rest = path
  return {**params, name: replaced(params[name], tuple(rest), layer) if rest else layer}
