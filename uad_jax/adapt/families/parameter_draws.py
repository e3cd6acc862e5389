"""Functions that infer with several sets of parameters and return all their outputs."""

from collections.abc import Mapping

import jax.numpy as jnp

from uad_jax.method import Array, Method

SEVERAL = ('reconstruction', 'prior', 'displacement')
"""Outputs that are returned for each set of parameters, as OUTPUT_members."""


def members(stacked: Mapping[str, Array]) -> dict[str, Array]:
  """Selects the outputs in `SEVERAL` and names them as outputs of members.

  Args:
    stacked: Outputs of N inferences, each [N, B, ...].

  Returns:
    'OUTPUT_members' [B, N, ...].
  """
  return {
    f'{name}_members': jnp.moveaxis(stacked[name], 0, 1)
    for name in SEVERAL
    if name in stacked
  }


def check_own_parameters(adaptation: str, method: Method) -> None:
  """Checks that the inference of a method reads its parameters, not averages of them.

  Raises:
    ValueError: Another adaptation averages the parameters or has a posterior of them.
  """
  for name, kind in method.kinds.items():
    if kind in ('average', 'posterior'):
      raise ValueError(
        f"adaptation '{adaptation}' needs a method that infers with its trained "
        f"parameters; here it infers with '{name}', so leave one of them out"
      )
