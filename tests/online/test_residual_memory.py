import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.neighbors import NearestNeighbors

from uad_jax.online import residual_memory as bank
from uad_jax.online.guards import subject_code

EVICTIONS = ('coreset', 'reservoir')


def healthy(number=40, seed=0):
  return np.random.default_rng(seed).normal(size=(number, 3))


def learn(
  memory, vectors, subject, p_value=0.9, eviction='coreset', radius=0.5, seed=0
):
  rule = bank.Rule(radius, 0.2, eviction)
  rng = np.random.default_rng([seed, subject])
  code = subject_code(f'sub-{subject}')
  return bank.learn(memory, np.atleast_2d(vectors), p_value, code, rule, rng)


@pytest.mark.parametrize('neighbours', [1, 4])
def test_the_score_is_the_distance_of_the_kth_neighbour(neighbours):
  # Oracle: scikit-learn's nearest neighbours by brute force.
  x = np.random.default_rng(1).normal(size=(25, 3))
  memory = bank.begin(healthy(), 60, 3)
  model = NearestNeighbors(n_neighbors=neighbours, algorithm='brute').fit(healthy())
  expected = model.kneighbors(x)[0][:, -1]
  np.testing.assert_allclose(bank.score(memory, x, neighbours), expected, rtol=1e-5)
  assert np.isinf(bank.score(memory, x, 41)).all()


def test_an_entry_is_trusted_after_enough_distinct_subjects():
  pattern = np.array([9.0, 0.0, 0.0])
  memory = bank.begin(healthy(), 60, 3)
  frozen = bank.score(memory, [pattern])[0]
  for subject, votes in ((1, 1), (1, 1), (2, 2), (1, 2), (2, 2), (3, 3)):
    memory = learn(memory, pattern + 0.1, subject)
    near = bank.score(memory, [pattern])[0] < 0.2
    assert near == (votes == 3)
    assert near or bank.score(memory, [pattern])[0] == frozen
    assert memory.filled.sum() == 41
    assert (memory.voters[40] != 0).sum() == votes


def test_a_lesion_of_one_subject_is_never_trusted():
  memory = bank.begin(healthy(), 80, 2)
  lesion = np.array([0.0, 9.0, 0.0])
  for subject in range(30):
    vectors = [[9.0, 0.0, 0.0], lesion] if subject == 4 else [[9.0, 0.0, 0.0]]
    memory = learn(memory, vectors, subject)
  memory = learn(memory, lesion, 4)  # a second scan of the same subject
  artefact, unusual = bank.score(memory, [[9.0, 0.0, 0.0], lesion])
  assert artefact < 1e-6 and unusual > 5


def test_only_descriptors_with_a_p_value_above_the_limit_enter():
  vectors = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])
  memory = learn(bank.begin(healthy(), 60, 1), vectors, 1, np.array([0.2, 0.21, 0.05]))
  assert (bank.score(memory, vectors) < 1e-6).tolist() == [False, True, False]
  before = bank.begin(healthy(), 60, 1)
  assert learn(before, vectors, 1, 0.1) is before


def test_the_entries_of_one_scan_are_farther_apart_than_the_radius_and_cover_it():
  # Oracle: all distances in numpy.
  x = healthy(300, 5) + 20
  memory = learn(bank.begin(healthy(), 400, 1), x, 1, radius=0.8)
  entries = memory.entries[40 : memory.filled.sum()]
  distance = np.linalg.norm(entries[:, None] - entries[None], axis=-1)
  assert (distance + 9 * np.eye(len(entries))).min() > 0.8
  assert np.linalg.norm(x[:, None] - entries[None], axis=-1).min(1).max() <= 0.8001


@pytest.mark.parametrize('eviction', EVICTIONS)
@pytest.mark.parametrize('capacity', [40, 55])
def test_the_capacity_is_kept_and_frozen_entries_survive(eviction, capacity):
  memory = bank.begin(healthy(), capacity, 2)
  rng = np.random.default_rng(3)
  for subject in range(40):
    memory = learn(memory, rng.normal(scale=6, size=(9, 3)), subject, eviction=eviction)
    assert memory.entries.shape == (capacity, 3)
    assert memory.filled.sum() <= capacity
    np.testing.assert_array_equal(memory.entries[:40], healthy().astype(np.float32))
    assert memory.frozen[:40].all() and not memory.frozen[40:].any()
  assert memory.filled.all()


@pytest.mark.parametrize('eviction', EVICTIONS)
def test_healthy_entries_that_are_not_frozen_are_evicted(eviction):
  memory = bank.begin(healthy(), 40, 1, frozen=False)
  assert bank.trusted(memory).all()
  rng = np.random.default_rng(3)
  for subject in range(30):
    memory = learn(memory, rng.normal(scale=9, size=(9, 3)), subject, eviction=eviction)
  known = (memory.entries[:, None] == healthy().astype(np.float32)).all(-1)
  assert known.any(1).sum() < 20


def test_the_coreset_keeps_patterns_that_recurred_before_outliers():
  memory = bank.begin(healthy(), 46, 2)
  patterns = 8 * np.eye(3)
  for subject in (1, 2):
    memory = learn(memory, patterns, subject)
  rng = np.random.default_rng(4)
  for subject in range(3, 30):
    memory = learn(memory, 60 * rng.normal(size=(5, 3)), subject)
  assert (bank.score(memory, patterns) < 1e-6).all()


@pytest.mark.slow
def test_the_reservoir_is_a_uniform_sample_of_the_entries_offered():
  # Oracle: an entry stays with probability slots / offered (Vitter 1985); binomial.
  vectors = 10.0 * np.arange(1, 31)[:, None] * np.array([[1.0, 0, 0]])
  kept = np.zeros(30)
  for seed in range(400):
    memory = bank.begin(np.zeros((1, 3)), 7, 1)
    for subject, vector in enumerate(vectors):
      memory = learn(memory, vector, subject, eviction='reservoir', seed=seed)
    kept += np.isin(vectors[:, 0], memory.entries[1:, 0])
  assert kept.sum() == 400 * 6 and memory.offered == 30
  assert min(binomtest(int(k), 400, 6 / 30).pvalue for k in kept) > 0.05 / 30 / 5


@pytest.mark.parametrize('eviction', EVICTIONS)
def test_a_replay_from_a_file_is_bitwise_equal(tmp_path, eviction):
  scans = np.random.default_rng(2).normal(scale=5, size=(12, 8, 3))

  def replay(memory, first, last):
    for subject in range(first, last):
      memory = learn(memory, scans[subject], subject, eviction=eviction)
    return memory

  start = bank.begin(healthy(), 60, 2)
  np.savez(tmp_path / 'state.npz', **replay(start, 0, 6)._asdict())
  with np.load(tmp_path / 'state.npz') as arrays:
    again = replay(bank.Memory(**arrays), 6, 12)
  for a, b in zip(again, replay(start, 0, 12), strict=True):
    assert a.dtype == b.dtype and (a == b).all()


def test_bad_descriptors_and_constants_are_refused():
  memory = bank.begin(healthy(), 60, 2)
  with pytest.raises(ValueError, match=r'shape \(4, 2\); allowed is \[N, 3\]'):
    learn(memory, np.zeros((4, 2)), 1)
  with pytest.raises(ValueError, match='12 of 12 values are NaN'):
    bank.score(memory, np.full((4, 3), np.nan))
  with pytest.raises(ValueError, match='allowed are 4 numbers or one, from 0 to 1'):
    learn(memory, np.zeros((4, 3)), 1, np.zeros(3))
  with pytest.raises(ValueError, match='allowed are 4 numbers or one, from 0 to 1'):
    learn(memory, np.zeros((4, 3)), 1, np.nan)
  with pytest.raises(ValueError, match='there are coreset, reservoir'):
    learn(memory, np.zeros((4, 3)), 1, eviction='oldest')
  with pytest.raises(ValueError, match='40 descriptors; allowed are 30'):
    bank.begin(healthy(), 30, 2)
