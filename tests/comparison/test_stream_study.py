"""Streams of scans: what is counted and measured, and the section of the page."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.data.heads import tree
from tests.online.synthetic_stream import ARTEFACT, BRAIN, maps_of
from tests.small_run import world as world  # the finished run
from uad_jax import trained_run
from uad_jax.comparison import stream_page, stream_scans, stream_study
from uad_jax.comparison.stream_scans import Pair
from uad_jax.data.cohorts.entry import Entry
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import begin
from uad_jax.prediction import calibration


def pair(seed, artefact=2.5):
  healthy, _ = maps_of(seed, artefact=artefact)
  sick, lesion = maps_of(seed, artefact=artefact, lesion=True)
  return Pair(f'sub-{seed}', healthy, sick, lesion, ARTEFACT)


@pytest.fixture(scope='module')
def cast():
  """Reference, stream, and test heads with and without the artefact."""
  reference = [pair(10_000 + seed, 0.0) for seed in range(20)]
  heads = [pair(seed) for seed in range(30)]
  seeds = range(500, 506)
  return reference, heads, [pair(s) for s in seeds], [pair(s, 0.0) for s in seeds]


def test_a_stream_counts_what_it_learns(cast):
  reference, heads, _, _ = cast
  start = begin([head.healthy for head in reference], Settings(cell=3))
  state, counts = stream_study.play(start, heads, 0.5, length=40)
  assert state.steps == 40 and len(state.votes.codes) == counts['learnt'] <= 30
  assert 10 < counts['sick'] < 30 and counts['learnt_sick'] <= counts['sick']
  none = stream_study.play(start, heads, 0.0, length=5)[1]
  assert none['sick'] == none['learnt_sick'] == 0


def test_what_is_always_flagged_is_learnt_by_answers_alone(cast):
  reference, _, _, _ = cast
  heads = [pair(seed, 30.0) for seed in range(24)]
  start = begin([head.healthy for head in reference], Settings(cell=3))
  silent, counts = stream_study.play(start, heads, 0.3, length=24)
  assert counts['learnt'] == counts['answered'] == 0
  state, counts = stream_study.play(start, heads, 0.3, length=24, answers=True)
  # What was learnt is not flagged any more, so that fewer answers are needed.
  assert 10 <= counts['answered'] < 24 and 0 < counts['learnt'] <= 24 - counts['sick']
  after = [
    stream_study.measure(s, heads[:4], heads[:4])['artefact'] for s in (silent, state)
  ]
  assert after[0] > 0.9 and after[1] < 0.2 * after[0]


def test_measures_of_a_state(cast):
  # Oracle: a stream that has seen nothing; shares by numpy, precision by scikit-learn.
  reference, _, bright, plain = cast
  settings = Settings(cell=3, voxels=False)
  start = begin([head.healthy for head in reference], settings)
  found = stream_study.measure(start, bright, plain)
  above = [head.healthy.anomaly >= start.reference.threshold for head in bright]
  share = np.mean([each[ARTEFACT] for each in above])
  assert found['artefact'] == pytest.approx(share) and share > 0.3
  rest = np.mean([each[BRAIN & ~ARTEFACT] for each in above])
  assert found['marked'] == pytest.approx(rest) and rest < 0.1
  for name, heads in (('auprc', bright), ('auprc_plain', plain)):
    truth = np.concatenate([head.lesion[BRAIN] for head in heads])
    scores = np.concatenate([head.sick.anomaly[BRAIN] for head in heads])
    assert found[name] == pytest.approx(average_precision_score(truth, scores))
  one = average_precision_score(bright[2].lesion[BRAIN], bright[2].sick.anomaly[BRAIN])
  assert found['heads'][2] == pytest.approx(one)
  assert found['flagged_sick'] >= found['flagged']


def test_rows_and_their_page(cast, monkeypatch):
  monkeypatch.setattr(stream_study, 'RATES', (0.0, 0.5))
  reference, heads, bright, plain = cast
  rows = stream_study.rows(reference, heads, bright[:3], plain[:3], length=8)
  assert [(row['rate'], row['guards'], row.get('answers')) for row in rows] == [
    (None, True, None),
    *((rate, True, answers) for answers in (False, True) for rate in (0.0, 0.5)),
    *((rate, False, False) for rate in (0.0, 0.5)),
  ]
  assert rows[-1]['learnt'] == 8  # without guards everything is
  record = {
    'method': 'dae', 'scorer': 'fused', 'reference': 20, 'heads': 30, 'tests': 3,
    'length': 8, 'rows': json.loads(json.dumps(rows)),
  }  # fmt: skip
  text = '\n'.join(stream_page.sections([record]))
  assert '## Streams of scans: dae' in text and 'on 20 healthy heads' in text
  lines = [line for line in text.splitlines() if line.startswith('| ')]
  assert len(lines) == 1 + 7 and lines[1].startswith('| none | on | – |')
  assert '| 50% | off | 8 (' in lines[-1]
  assert stream_page.sections([]) == []


@pytest.mark.slow
def test_the_artefact_is_a_ball_in_every_scan(world, tmp_path):
  _, _, run, _ = world
  heads = tree(tmp_path, ['sub-1', 'sub-2'])
  image = str(next(heads.glob('sub-1/anat/*')))
  loaded = trained_run.load(run)
  entry = Entry('sub-1', '', image, twin=image)
  scan = calibration.prepare(entry, loaded.steps, truth=True)
  artefact = stream_scans.artefact_of(scan)
  volume = np.count_nonzero(artefact) * abs(np.linalg.det(scan.affine[:3, :3]))
  assert volume == pytest.approx(4 / 3 * np.pi * stream_scans.RADIUS**3, rel=0.4)
  plain, bright = (
    stream_scans.pair_of('sub-1', scan, loaded, each) for each in (False, True)
  )
  changed = plain.healthy.anomaly != bright.healthy.anomaly
  assert (changed & bright.artefact).any()
  np.testing.assert_array_equal(plain.healthy.mask, bright.healthy.mask)
  low, high = stream_scans.GAIN
  gains = [stream_scans.gain_of(f'sub-{i}') for i in range(20)]
  assert low <= min(gains) < max(gains) <= high
  assert calibration.prepare(entry._replace(image=str(tmp_path)), (), True) is None
