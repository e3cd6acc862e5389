"""The affine of 12 parameters, for numpy and jax arrays alike."""


def matrix(parameters):
  """The 4x4 affine of 12 parameters, about the origin.

  translation (mm), rotation (rad, about x, y, z), log scale, shear (xy, xz, yz):
  M = T Rz Ry Rx diag(exp(scale)) H.
  """
  xp = parameters.__array_namespace__()
  translation, (a, b, c), scale, (xy, xz, yz) = xp.reshape(parameters, (4, 3))
  zero, one = xp.zeros_like(a), xp.ones_like(a)

  def rows(*rows):
    return xp.stack([xp.stack(row) for row in rows])

  sin, cos = xp.sin, xp.cos
  rx = rows((one, zero, zero), (zero, cos(a), -sin(a)), (zero, sin(a), cos(a)))
  ry = rows((cos(b), zero, sin(b)), (zero, one, zero), (-sin(b), zero, cos(b)))
  rz = rows((cos(c), -sin(c), zero), (sin(c), cos(c), zero), (zero, zero, one))
  shear = rows((one, xy, xz), (zero, one, yz), (zero, zero, one))
  linear = rz @ ry @ rx @ xp.diag(xp.exp(scale)) @ shear
  last = rows((zero, zero, zero, one))
  return xp.concat([xp.concat([linear, translation[:, None]], axis=1), last])
