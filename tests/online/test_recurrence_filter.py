import numpy as np
import pytest

from tests.online.synthetic_stream import BRAIN, SETTINGS, begin, maps_of
from uad_jax.online import recurrence_filter as rf
from uad_jax.online import residual_memory, voxel_tracking
from uad_jax.online.healthy_reference import describe
from uad_jax.online.scan_maps import checked

RNG = np.random.default_rng(0)
PLAIN = {'cells': False, 'components': False, 'voxels': False}


def filtered(state, maps):
  description = describe(maps, state.reference, state.settings)
  return rf.filtered(
    *maps[1:], description, state.patterns, state.reference, state.settings
  )


def taught(state, number, **options):
  """A state that learnt so many scans without any guard."""
  for seed in range(number):
    maps, _ = maps_of(seed, **options)
    patterns = rf.learn(
      state.patterns,
      maps,
      describe(maps, state.reference, state.settings),
      1.0,
      seed + 100,
      state.settings,
      RNG,
    )
    state = state._replace(patterns=patterns)
  return state


def test_with_all_parts_off_only_the_background_changes():
  state, (maps, _) = taught(begin(**PLAIN), 3), maps_of(5, artefact=2.5)
  anomaly = filtered(state, maps)
  assert (anomaly[BRAIN] == maps.anomaly[BRAIN]).all()
  assert (anomaly[~BRAIN] == maps.anomaly[BRAIN].min()).all()
  assert state.patterns.moments is None


def test_voxels_are_standardised_by_the_anchored_moments():
  state = taught(begin(**PLAIN | {'voxels': True}), 5, artefact=2.5)
  maps, _ = maps_of(5, artefact=2.5)
  # Oracle: the exponential recursion and the moments of a mixture, voxel by voxel.
  reference, s = state.reference, SETTINGS.anchor
  mean, variance = reference.moments
  for seed in range(5):
    x = maps_of(seed, artefact=2.5)[0].anomaly
    deviation = x - mean
    mean = np.where(BRAIN, mean + 0.05 * deviation, mean)
    moved = 0.95 * (variance + 0.05 * deviation**2)
    variance = np.where(BRAIN, moved, variance)
  apart = reference.moments.mean - mean
  mixed = s * reference.moments.mean + (1 - s) * mean
  spread = s * reference.moments.variance + (1 - s) * variance + s * (1 - s) * apart**2
  z = (maps.anomaly - mixed) / np.sqrt(spread + reference.epsilon)
  np.testing.assert_allclose(filtered(state, maps)[BRAIN], z[BRAIN], atol=1e-5)


def test_only_cells_that_the_source_lacks_are_suppressed():
  start = begin(**PLAIN | {'cells': True})
  # A stream like the source recurs as well, and changes nothing.
  maps, _ = maps_of(77)
  same = taught(start, 30)
  np.testing.assert_array_equal(filtered(same, maps), filtered(start, maps))
  sick, lesion = maps_of(78, artefact=2.5, lesion=True)
  state = taught(start, 30, artefact=2.5)
  before, after = filtered(start, sick), filtered(state, sick)
  changed = before != after
  assert (after <= before).all() and changed.any() and not (changed & lesion).any()
  np.testing.assert_allclose(after[changed], start.reference.base, atol=1e-6)


def test_components_are_suppressed_by_their_distance_to_new_entries():
  start = begin(**PLAIN | {'components': True})
  maps, _ = maps_of(4, artefact=4.0)
  description = describe(maps, start.reference, start.settings)
  memory = start.patterns.memory
  # Healthy scans of the source are in the bank, and are spared.
  for same in (maps, maps_of(10_030)[0]):
    np.testing.assert_array_equal(filtered(start, same)[BRAIN], same.anomaly[BRAIN])
  # An entry at half the radius of component 2, with all its votes.
  slot = int(memory.filled.sum())
  entries, filled = memory.entries.copy(), memory.filled.copy()
  voters = memory.voters.copy()
  entries[slot] = description.vectors[1]
  entries[slot, 0] += 1.0
  filled[slot], voters[slot] = True, np.arange(1, 11) * 1000
  bank = residual_memory.Memory(entries, filled, memory.frozen, voters, memory.offered)
  state = start._replace(patterns=start.patterns._replace(memory=bank))
  after = filtered(state, maps)
  part, base = (description.labels == 2) & BRAIN, start.reference.base
  # 1 - h^2 = 0.75 of the height above the base goes.
  expected = base + 0.25 * (maps.anomaly[part] - base)
  np.testing.assert_allclose(after[part], expected, atol=1e-4)


def test_learning_changes_only_the_parts_that_are_on():
  for name in ('cells', 'components', 'voxels'):
    start = begin(**PLAIN | {name: True})
    state = taught(start, 2, artefact=2.5)
    same = [a is b for a, b in zip(start.patterns, state.patterns, strict=True)]
    assert (
      same.count(False) == 1 and not same[['cells', 'components', 'voxels'].index(name)]
    )


def test_the_background_gets_the_lowest_score_of_the_brain():
  maps, _ = maps_of(1)
  mask = maps.mask
  moments = voxel_tracking.ExponentialMoments(mask, mask)
  z = rf.standardised(maps.anomaly, mask, moments, 3.0)
  np.testing.assert_allclose(z[BRAIN], (maps.anomaly[BRAIN] - 1) / 2, rtol=1e-6)
  assert (z[~BRAIN] == z[BRAIN].min()).all()
  with pytest.raises(ValueError, match='residual has shape'):
    checked(maps._replace(residual=maps.residual[0]), maps.mask.shape)
