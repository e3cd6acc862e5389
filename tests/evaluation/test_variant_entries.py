"""Entries of variants: those that a method does not read are refused."""

import jax
import jax.numpy as jnp
import pytest

from tests.adapt.recording_method import recording
from tests.method_table import make_batch
from uad_jax.adapt import ema
from uad_jax.evaluation import variant_entries


def asking(infer):
  return recording()._replace(
    infer=lambda params, stats, batch, key: {'reconstruction': infer(batch)}
  )


READERS = {
  'looked up': lambda b: b['image'] * b['open'][0],
  'with a default': lambda b: b['image'] * b.get('open', jnp.ones(4))[0],
  'asked for': lambda b: b['image'] * b['open'][0] if 'open' in b else b['image'],
  'copied': lambda b: {**b, 'image': b['image'] * 2}['image'],
  'joined': lambda b: (b | {'image': b['image'] * 2})['image'],
  'joined from the right': lambda b: ({'image': 0} | b)['image'],
  'compiled': lambda b: jax.jit(lambda inner: inner['image'] * 2)(b),
  'mapped': lambda b: jax.tree.map(lambda array: array * 2, b)['image'],
}


def check(method, variants):
  batch, key = make_batch((4, 4)), jax.random.key(0)
  batch = {name: batch[name] for name in ('image', 'mask', 'position', 'weight')}
  shapes = jax.eval_shape(lambda b: b, batch)
  params, stats = jax.eval_shape(method.init, key, shapes)
  variant_entries.check(method, params, stats, shapes, key, variants)


@pytest.mark.parametrize('reader', READERS)
def test_an_entry_that_the_inference_may_read_is_allowed(reader):
  check(asking(READERS[reader]), {'low': {'open': 0.5}})


def test_an_entry_that_is_not_read_is_named_with_those_that_are():
  method = asking(READERS['with a default'])
  variants = {'high': {'open': 1.0}, 'low': {'open': 0.0, 'opne': 0.0}}
  with pytest.raises(ValueError) as error:
    check(method, variants)
  assert str(error.value) == (
    "config.variants.low has 'opne', which the inference of this method does not read; "
    'allowed are open, the entries of every batch: image, mask, position, weight'
  )
  with pytest.raises(ValueError, match='allowed are the entries of every batch'):
    check(ema.make()(recording()), variants)


def test_entries_of_every_batch_may_be_replaced_and_cost_no_trace():
  def infer(batch):
    raise AssertionError

  check(asking(infer), {'low': {'position': 0.1}, 'same': {}})


def test_variants_with_equal_names_share_a_trace():
  traces = []

  def infer(batch):
    traces.append(batch)
    return batch['image'] * batch['open'][0]

  check(asking(infer), {'low': {'open': 0.0}, 'high': {'open': 1.0}})
  assert len(traces) == 1
