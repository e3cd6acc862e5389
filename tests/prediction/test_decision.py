"""Components are marked at a family-wise error rate."""

import json

import numpy as np
import pytest
from scipy import ndimage

from uad_jax.data.preprocessing import preprocess
from uad_jax.evaluation import component_masses
from uad_jax.prediction import decision, decision_facts, native_space
from uad_jax.prediction.decision import Decision, Healthy
from uad_jax.prediction.detection import Detection, by_mass


class Run:
  """What is read of a run."""

  scorer = 'residual'

  def __init__(self, folder, **healthy):
    self.folder = folder
    (folder / 'results.json').write_text(json.dumps({'healthy_validation': healthy}))


def detection_of(scores, threshold, voxel_ml=1.0):
  marked = scores >= threshold
  parts = by_mass(component_masses.measured(scores, marked, threshold, voxel_ml))
  brain = np.ones_like(marked)
  return Detection(scores, brain, marked, np.zeros_like(marked), {}, parts)


def noise(rng):
  """A healthy map: smooth noise, whose largest component differs from scan to scan."""
  field = ndimage.gaussian_filter(rng.normal(size=(9, 9, 9)), 0.8)
  return detection_of(field.astype(np.float32), 0.25)


def largest(detection):
  return max(detection.components.masses, default=0.0)


@pytest.mark.parametrize('alpha, count', [(0.1, 19), (0.25, 7)])
def test_a_share_alpha_of_healthy_scans_has_anything_marked(alpha, count):
  # Exchangeable scans: P(p <= alpha) = floor(alpha (n + 1)) / (n + 1), here alpha.
  rng, trials = np.random.default_rng(3), 400
  pool = [noise(rng) for _ in range(1500)]
  marked = 0
  for _ in range(trials):
    drawn = rng.choice(len(pool), count + 1, replace=False)
    healthy = Healthy(np.array([largest(pool[i]) for i in drawn[1:]]))
    decided = decision.decide(pool[drawn[0]], healthy, alpha)
    marked += decided.detection.marked.any()
    assert decided.detection.marked.any() == (decided.p <= alpha)
  deviation = np.sqrt(alpha * (1 - alpha) / trials)
  assert abs(marked / trials - alpha) < 3 * deviation


def test_a_larger_alpha_marks_no_less():
  rng = np.random.default_rng(0)
  healthy = Healthy(np.array([largest(noise(rng)) for _ in range(99)]))
  scan = noise(rng)
  previous = np.zeros_like(scan.marked)
  for alpha in (0.01, 0.05, 0.2, 0.5, 0.9, 0.99):
    marked = decision.decide(scan, healthy, alpha).detection.marked
    assert not (previous & ~marked).any() and not (marked & ~scan.marked).any()
    previous = marked
  assert previous.any()


def blobs(spacing=1.0):
  """A map with a lesion, and a blob as healthy scans have them; and its scan."""
  scores = np.zeros((16, 16, 16), np.float32)
  scores[2:7, 2:7, 2:7] = 2.0  # mass 125 at the threshold 1
  scores[11:14, 11:14, 11:14] = 1.5  # mass 13.5
  shape = tuple(int(n / spacing) for n in scores.shape)
  ones = np.ones((*scores.shape, 1), np.uint8)
  affine = np.diag([spacing, spacing, spacing, 1.0])
  prepared = preprocess.Prepared(
    scores[..., None], ones, ones, ones, None, np.eye(4), np.eye(4), shape, affine,
    tuple(range(16)), [],
  )  # fmt: skip
  return detection_of(scores, 1.0), prepared


@pytest.mark.parametrize('spacing', [1.0, 0.5, 1.6])
def test_a_lesion_is_marked_and_a_healthy_blob_is_not(spacing):
  found, prepared = blobs(spacing)
  assert found.components.masses.tolist() == [13.5, 125.0]
  healthy = Healthy(np.arange(19.0))  # 13.5 is the 15th of 20: p = 6 / 20
  decided = decision.decide(found, healthy, 0.05)
  assert decided.p_values.tolist() == [0.3, 0.05] and decided.p == 0.05
  assert decided.detection.marked.sum() == 125 and decided.detection.removed.sum() == 27
  _, lesion, _, numbers = native_space.to_native(decided.detection, prepared, 1.0)
  half = lesion.shape[0] * 9 // 16
  assert lesion[:half, :half, :half].sum() == lesion.sum() > 0
  assert (numbers[lesion] == 2).all()
  # Nothing is left on the grid of the scan where no component is marked.
  decided = decision.decide(found, Healthy(np.full(19, 500.0)), 0.05)
  _, lesion, _, _ = native_space.to_native(decided.detection, prepared, 1.0)
  assert decided.p == 1.0 and not lesion.any()
  # Both are, if all voxels above the threshold are.
  decided = decision.decide(found, healthy, None)
  assert decided.level is None and decided.detection is found
  _, lesion, _, _ = native_space.to_native(decided.detection, prepared, 1.0)
  assert lesion[half:].any() and lesion[:half].any()


def test_a_scan_without_a_component_has_p_1():
  empty = detection_of(np.zeros((4, 4, 4), np.float32), 1.0)
  decided = decision.decide(empty, Healthy(np.arange(9.0)), 0.2)
  assert decided.p == 1.0 and not decided.detection.marked.any()


def test_few_healthy_scans_raise_the_level_and_are_told():
  healthy, rule = Healthy(np.arange(8.0)), Decision('1', 0.05)
  assert decision.level(healthy, 0.05) == pytest.approx(1 / 9)
  decided = decision.decide(blobs()[0], healthy, 0.05)
  assert decided.detection.marked.all() == blobs()[0].marked.all()  # both p are 1 / 9
  sentence = decision_facts.note(rule, healthy)
  assert sentence.startswith('with 8 healthy scans the smallest p-value is 0.11, and')
  assert '--config=configs/adapt/recalibration.py --source=DIR_OF_' in sentence
  assert decision_facts.note(rule, Healthy(np.arange(19.0))) == ''
  assert decision_facts.note(Decision('5', None), healthy) == ''
  entries = decision_facts.facts(rule, decided, healthy)
  assert 'p <= 0.11' in entries['decision_means'] and entries['healthy_scans'] == 8


def test_runs_without_masses_mark_voxels_and_say_so(tmp_path):
  run = Run(tmp_path, scans=8)
  healthy = decision.healthy_of(run, '1', [])
  assert decision.possible(Decision(), healthy) == Decision('5', None)
  assert 'no component masses of healthy scans' in decision_facts.note(
    Decision(), healthy
  )
  found, _ = blobs()
  decided = decision.decide(found, healthy, None)
  assert decided.p is None and np.isnan(decided.p_values).all()
  entries = decision_facts.facts(Decision('5', None), decided, healthy)
  assert entries['decision'] == 'voxels' and entries['alpha'] is None


def test_more_stacks_than_were_calibrated_cost_their_ratio(tmp_path):
  masses = {'residual': {'1': [1.0, 2.0, 3.0, 4.0]}}
  run = Run(tmp_path, scans=4, stacks=1, masses=masses)
  once, twice = (decision.healthy_of(run, '1', [], stacks) for stacks in (1, 2))
  scores = np.array([0.0, 2.5, 9.0])
  assert decision.p_values(once, scores).tolist() == [1.0, 0.6, 0.2]
  assert decision.p_values(twice, scores).tolist() == [1.0, 1.0, 0.4]  # Bonferroni
  assert decision.level(twice, 0.05) == pytest.approx(0.4)
  run = Run(tmp_path, scans=8, stacks=2, masses=masses)
  assert decision.healthy_of(run, '1', [], 2).factor == 1


@pytest.mark.parametrize('factor', [1, 3, 7])
@pytest.mark.parametrize('count', [4, 9, 12, 19, 39, 40])
def test_a_mass_above_all_healthy_ones_has_the_smallest_level(factor, count):
  # 3 * (1 / 20) is above 3 / 20 in float64; nothing would be marked at that level.
  healthy = Healthy(np.arange(float(count)), factor)
  smallest, second = decision.p_values(healthy, np.array([1e6, count - 1.5]))
  assert smallest == decision.level(healthy, 1e-6)
  # Oracle: the fraction, rounded once.
  assert second == min(1.0, 2 * factor / (count + 1))
  decided = decision.decide(blobs()[0], Healthy(np.zeros(count), factor), 1e-6)
  assert decided.detection.marked.any()


def test_options_choose_one_decision():
  assert decision.choose() == decision.choose('') == Decision('1', 0.05)
  assert decision.choose('10') == Decision('10', None)
  assert decision.choose(alpha=0.2) == Decision('1', 0.2)
  with pytest.raises(ValueError, match='percent 5 and alpha 0.1 exclude each other'):
    decision.choose('5', 0.1)
  for alpha in (0.0, 1.0, -1.0):
    with pytest.raises(ValueError, match='alpha is .*above 0 and below 1'):
      decision.choose(alpha=alpha)
