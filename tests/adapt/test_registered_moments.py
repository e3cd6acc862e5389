"""Registered moments on target scans: sums, scans left out, another contrast."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.sweep import rows, swept
from tests.long_variants import all_but
from tests.registered_scans import fitted, scans
from uad_jax.adapt import registered_moments
from uad_jax.ops import scale_space

KEY = jax.random.key(0)
CASES = {1: ('template_1', 'responses'), 2: ('template_2', 'usual', 'responses')}
"""Sums that target scans are added to, by number of rounds."""


def of_other_scanner(count, first):
  """Scans of the same anatomy, grey where those of the source are bright."""
  batch = scans(count, first)
  return {**batch, 'image': 0.1 + 0.6 * batch['image'] ** 2}


def assert_close(sums, others):
  """Sums are alike, up to registrations in batches of other sizes."""
  compare = functools.partial(np.testing.assert_allclose, rtol=0.01, atol=0.01)
  jax.tree.map(compare, sums, others)


@pytest.fixture(scope='module', params=all_but(CASES, (2,)))
def source(request):
  """A method with the statistics of twelve source scans, and its sums."""
  method, stats, _ = fitted(rounds=request.param)
  return method, stats, CASES[request.param]


def adapted_to(method, stats, parts, pseudo_count=4.0):
  """The adaptation and the statistics after it, on batches of target scans."""
  adapted = registered_moments.make(pseudo_count, batches=len(parts))(method)
  passes = adapted.objectives['registered_moments'].passes(stats)
  batches = [{'few_shot': part} for part in parts] * passes
  state = swept(adapted, {}, stats, batches, KEY)
  return adapted, state.stats


def test_target_scans_are_added_by_the_fits_of_the_method(source):
  method, stats, names = source
  target = of_other_scanner(3, first=40)
  _, changed = adapted_to(method, stats, [target])
  last = names[0]
  nothing = jax.tree.map(jnp.zeros_like, stats[last])
  _, (new, _) = method.objectives[last].loss(
    {}, stats | {last: nothing}, target, KEY, 0
  )
  expected = jax.tree.map(lambda old, new: old * 4 / 12 + new, stats[last], new[last])
  assert_close(changed[last], expected)
  counts = {name: jax.tree.leaves(changed[name])[0].sum() for name in names}
  assert counts == dict.fromkeys(names, 7)
  for name in set(stats) - set(names):
    jax.tree.map(np.testing.assert_array_equal, changed[name], stats[name])


def test_batches_of_a_pass_add_up(source):
  method, stats, names = source
  target = of_other_scanner(4, first=40)
  _, once = adapted_to(method, stats, [target])
  halves = [rows(target, slice(0, 2)), rows(target, slice(2, 4))]
  _, twice = adapted_to(method, stats, halves)
  for name in names:
    assert_close(once[name], twice[name])


def test_a_scan_that_is_left_out_is_not_in_the_template(source):
  method, stats, names = source
  target = of_other_scanner(4, first=40)
  adapted, whole = adapted_to(method, stats, [target])
  _, rest = adapted_to(method, stats, [rows(target, slice(0, 3))])
  left = adapted.without({}, whole, rows(target, slice(3, 4)))
  for name in names[:-1]:
    assert_close(left[name], rest[name])
  counts = jax.tree.leaves(left['responses'])
  assert counts[0].sum() == 7


def test_the_healthy_of_another_scanner_are_no_longer_unusual(source):
  method, stats, _ = source
  _, changed = adapted_to(method, stats, [of_other_scanner(5, first=40)], 2.0)
  unseen = of_other_scanner(4, first=60)

  @jax.jit
  def unusual(stats):
    outputs = method.infer({}, stats, unseen, KEY)
    return scale_space.magnitude(outputs['reconstruction_responses'])

  before, after = (np.asarray(unusual(s)) for s in (stats, changed))
  assert (before > 2).mean() > 0.1
  assert (after > 2).mean() < 0.5 * (before > 2).mean()


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(pseudo_count=-1.0), 'pseudo_count is -1.0; allowed is a number of 0 or more'),
    (dict(batches=0), 'batches is 0; allowed is a whole number of 1 or more'),
  ],
)
def test_impossible_options_are_refused(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    registered_moments.make(**options)
