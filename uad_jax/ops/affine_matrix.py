"""Function that builds a 4x4 affine matrix from 12 parameters (numpy or jax)."""


def matrix(parameters):
  """Builds a 4x4 affine matrix from translations, rotations, log scales and shears.

  M = T Rz Ry Rx diag(exp(scale)) H, all about the origin: the shears H act first, then
  the scales, the rotations and the translation T.

  Args:
    parameters: [12], a numpy or jax array: translation along x, y, z (mm), rotation
      about x, y, z (rad), log scale along x, y, z, and shear xy, xz, yz.

  Returns:
    [4, 4], an array of the same library.

  Examples:
    >>> shift = np.array([1.0, 2.0, 3.0] + 9 * [0.0])
    >>> matrix(shift).tolist()[:2]
    [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 2.0]]
    >>> quarter_turn = np.array(5 * [0.0] + [np.pi / 2] + 6 * [0.0])
    >>> (matrix(quarter_turn) @ [1.0, 0.0, 0.0, 1.0]).round(6).tolist()
    [0.0, 1.0, 0.0, 1.0]
  """
  xp = parameters.__array_namespace__()
  translation, (a, b, c), scale, (xy, xz, yz) = xp.reshape(parameters, (4, 3))
  zero, one = xp.zeros_like(a), xp.ones_like(a)

  def stacked(*rows):
    return xp.stack([xp.stack(row) for row in rows])

  sin, cos = xp.sin, xp.cos
  rx = stacked((one, zero, zero), (zero, cos(a), -sin(a)), (zero, sin(a), cos(a)))
  ry = stacked((cos(b), zero, sin(b)), (zero, one, zero), (-sin(b), zero, cos(b)))
  rz = stacked((cos(c), -sin(c), zero), (sin(c), cos(c), zero), (zero, zero, one))
  shear = stacked((one, xy, xz), (zero, one, yz), (zero, zero, one))
  linear = rz @ ry @ rx @ xp.diag(xp.exp(scale)) @ shear
  last = stacked((zero, zero, zero, one))
  return xp.concat([xp.concat([linear, translation[:, None]], axis=1), last])
