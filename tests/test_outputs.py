"""The vocabulary of outputs is what methods really give and scorers ask for."""

import ast

import jax
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.method_table import ROWS, initial, make_batch
from uad_jax.adapt import ensemble, voxel_moments
from uad_jax.ops.output_names import EXPECTED, OUTPUTS
from uad_jax.registry import named, names


def matches(axes, shape, image):
  """Whether a shape is that of the vocabulary's `axes`, for images [B, *S, C]."""
  count, *space, channels = image
  known = {'B': [count], '*S': space, 'C': [channels], 'd': [len(space)]}
  fixed, free = [], False
  for axis in axes.split():
    if axis in known:
      fixed += known[axis]
    elif axis.isdigit():
      fixed.append(int(axis))
    elif axis == '*s':
      fixed += [None] * len(space)
    elif axis == '...':
      free = True
    else:
      fixed.append(None)
  if free:
    return shape[0] == count and len(shape) >= len(fixed)
  return len(shape) == len(fixed) and all(
    want in (None, n) for want, n in zip(fixed, shape, strict=True)
  )


@pytest.mark.parametrize('name', sorted(ROWS))
def test_methods_give_what_the_vocabulary_says(name):
  _, batch, state, infer = initial(name)
  outputs = infer(state.params, state.stats, batch, jax.random.key(1))
  assert set(outputs) <= set(OUTPUTS), set(outputs) - set(OUTPUTS)
  for key, value in outputs.items():
    entry, value = OUTPUTS[key], np.asarray(value)
    assert value.dtype == np.float32, key
    assert matches(entry.shape, value.shape, batch['image'].shape), (key, value.shape)
    slack = 1e-5 * max(1.0, np.abs(value).max())
    assert value.min() >= entry.low - slack, (key, value.min())
    assert value.max() <= entry.high + slack, (key, value.max())


@pytest.mark.slow
def test_every_entry_is_given_by_a_method():
  given_by_methods = set()
  for name, (shape, options, _) in ROWS.items():
    method = named('methods', name)(shape, **options)
    if name == 'atlas':
      method = voxel_moments.make(support=0.1)(method)  # 'support' is of an adaptation
    if name == 'dae_unc':
      method = ensemble.make(members=2)(method)  # and so are the members

    def infer(key, batch, method=method):
      return method.infer(*method.init(key, batch), batch, key)

    given_by_methods |= set(jax.eval_shape(infer, jax.random.key(1), make_batch(shape)))
  assert given_by_methods == set(OUTPUTS)


def test_shapes_are_told_apart():
  image = (4, 16, 12, 2)
  assert matches('B *S C', image, image)
  assert not matches('B *S C', (4, 16, 12, 1), image)
  assert matches('B *s d', (4, 8, 6, 2), image)
  assert not matches('B *s d', (4, 8, 6, 3), image)
  assert matches('B ...', (4, 3), image) and not matches('B', (4, 3), image)


@pytest.mark.parametrize('scorer', names('scores'))
def test_scorers_ask_for_entries_of_the_vocabulary(scorer):
  tree = ast.parse((ROOT / 'uad_jax' / 'scores' / f'{scorer}.py').read_text())
  asked = [
    argument.value
    for node in ast.walk(tree)
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'need'
    for argument in node.args[2:]
    if isinstance(argument, ast.Constant)
  ]
  assert set(asked) <= set(OUTPUTS)
  assert set(EXPECTED) <= set(OUTPUTS)
