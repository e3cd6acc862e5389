"""Search for operations that have no continuous derivative in the graph of a function.

A robust training by inner maximisation (`ops.inner_maximisation`) needs a loss whose
gradient is Lipschitz in the image; ReLU, leaky ReLU and absolute errors break that.
"""

from collections.abc import Callable, Sequence

import jax
from jax.extend import core

Array = jax.Array

CALLS = frozenset(
  'relu relu6 leaky_relu hard_tanh hard_sigmoid hard_silu hard_swish'.split()
)
"""Functions of `jax.nn` with a kink, by their name in a graph."""

PRIMITIVES = frozenset('abs argmin argmax'.split())
"""Primitives of a graph with a kink or a jump: absolute errors, choice of a code."""

SMOOTH = frozenset(('softplus',))
"""Smooth functions of `jax.nn` that are written with such primitives."""


def kinks(function: Callable[[Array], Array], x: Array) -> list[str]:
  """Lists the operations with a kink on the way from the input to the output.

  The graph of the function (its jaxpr) is followed through nested calls, loops and
  custom derivatives; operations that the input does not reach, that lie behind a
  stop-gradient, or that the output does not need are left out.

  Limits: activations are recognised by their names in `jax.nn`, which flax uses too. A
  kink that is written by hand (`jnp.maximum(x, 0)`, `jnp.where(x > 0, x, 0.1 * x)`) is
  not recognised: normalisation layers guard their variance in the same form, and
  log-variances are clipped so. Linear interpolation at points that depend on the input
  is not recognised either. A smooth function that is written with an absolute value,
  such as x |x| or `jnp.logaddexp`, is listed wrongly.

  Args:
    function: Function of one array; it is traced, not run.
    x: Example of the input.

  Returns:
    Names such as 'abs', 'leaky_relu', sorted; empty for a smooth function.

  Examples:
    >>> kinks(lambda x: jax.nn.leaky_relu(x).sum(), jax.numpy.ones(3))
    ['leaky_relu']
    >>> kinks(lambda x: jax.nn.softplus(jax.nn.silu(x)).sum(), jax.numpy.ones(3))
    []
  """
  graph = jax.make_jaxpr(function)(x).jaxpr
  names, _ = _walk(graph, [True] * len(graph.invars), [True] * len(graph.outvars))
  return sorted(names)


def check_smooth(label: str, function: Callable[[Array], Array], x: Array) -> None:
  """Checks that a function has no operation with a kink, as far as `kinks` sees it.

  Args:
    label: Name of the function, for the error message.
    function: Function of one array.
    x: Example of the input.

  Raises:
    ValueError: There is such an operation; the message lists them.
  """
  if names := kinks(function, x):
    raise ValueError(
      f'{label} contains {", ".join(names)}; allowed are smooth networks and losses, '
      'such as swish and squared errors'
    )


def _walk(
  graph: core.Jaxpr, reached: Sequence[bool], needed: Sequence[bool]
) -> tuple[set[str], list[bool]]:
  """Names of kinks in a graph, and which of its outputs the input reaches.

  Args:
    graph: The graph.
    reached: Whether the input reaches each of the graph's inputs.
    needed: Whether each of the graph's outputs is needed.
  """
  wanted = _wanted(graph, needed)
  live = {v for v, is_live in zip(graph.invars, reached, strict=True) if is_live}
  names = set()
  for equation in graph.eqns:
    inputs = [not isinstance(v, core.Literal) and v in live for v in equation.invars]
    outputs = [v in wanted for v in equation.outvars]
    if not any(inputs) or not any(outputs):
      continue
    new, passed = _visit(equation, inputs, outputs)
    names |= new
    live |= {v for v, is_live in zip(equation.outvars, passed, strict=True) if is_live}
  return names, [not isinstance(v, core.Literal) and v in live for v in graph.outvars]


def _wanted(graph: core.Jaxpr, needed: Sequence[bool]) -> set:
  """Variables of a graph that its needed outputs depend on."""
  pairs = zip(graph.outvars, needed, strict=True)
  wanted = {
    v for v, is_needed in pairs if is_needed and not isinstance(v, core.Literal)
  }
  for equation in reversed(graph.eqns):
    if any(v in wanted for v in equation.outvars):
      wanted |= {v for v in equation.invars if not isinstance(v, core.Literal)}
  return wanted


def _visit(
  equation: core.JaxprEqn, inputs: list[bool], outputs: list[bool]
) -> tuple[set[str], list[bool]]:
  """Names of kinks in one equation, and which of its outputs the input reaches."""
  primitive = equation.primitive.name
  called = str(equation.params.get('name', ''))
  real = [
    jax.numpy.issubdtype(v.aval.dtype, jax.numpy.inexact) for v in equation.outvars
  ]
  if primitive == 'stop_gradient':
    return set(), [False] * len(outputs)
  if called in CALLS:
    return {called}, real
  if primitive in PRIMITIVES:
    return {primitive}, real
  if called in SMOOTH:
    return set(), real
  names, reached = set(), [False] * len(outputs)
  graphs = list(_nested(equation))
  for graph in graphs:
    # The inputs of a call are those of its graph; loops and branches sort them anew.
    call = len(graphs) == 1 and primitive not in ('scan', 'while', 'cond')
    same = call and len(graph.invars) == len(inputs)
    same = same and len(graph.outvars) == len(outputs)
    new, passed = _walk(
      graph,
      inputs if same else [True] * len(graph.invars),
      outputs if same else [True] * len(graph.outvars),
    )
    names |= new
    reached = passed if same else real
  return names, reached if graphs else real


def _nested(equation: core.JaxprEqn):
  """Yields the graphs that an equation calls."""
  for value in equation.params.values():
    for item in value if isinstance(value, tuple | list) else (value,):
      if isinstance(item, core.ClosedJaxpr):
        yield item.jaxpr
      elif isinstance(item, core.Jaxpr):
        yield item
