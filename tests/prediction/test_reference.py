"""A scan is compared with the healthy validation scans of the run."""

import json
import warnings

import numpy as np
import pytest

from uad_jax.evaluation import healthy_ranges, histogram, sample
from uad_jax.prediction import reference
from uad_jax.prediction.detection import Detection


class Run:
  """What is read of a run."""

  scorer = 'residual'

  def __init__(self, folder, **results):
    self.folder = folder
    (folder / 'results.json').write_text(json.dumps(results))


class Prepared:
  """Preprocessed scan of given intensities."""

  slices, chain = (0, 1), ()

  def __init__(self, values):
    self.image = np.resize(np.float32(values), (10, 10, 2, 1))
    self.mask = np.ones((10, 10, 2, 1), np.uint8)


def said(check, *arguments):
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    check(*arguments)
  return [str(warning.message) for warning in caught]


HEALTHY = {
  'scans': 9,
  'intensity': {'25': [0.48, 0.57], '50': [0.64, 0.67], '75': [0.75, 0.78]},
  'marked': {'residual': {'5': [0.05, 0.09]}},
}


def test_intensities_of_another_kind_are_told_before_the_inference(tmp_path):
  run = Run(tmp_path, healthy_validation=HEALTHY)
  places, shares = np.linspace(0, 1, 200), [0, 0.25, 0.5, 0.75, 1]
  usual = np.interp(places, shares, [0.2, 0.5, 0.66, 0.77, 1])
  flair = np.interp(places, shares, [0.2, 0.73, 0.78, 0.82, 1])
  assert said(reference.check_intensities, Prepared(usual), run) == []
  (sentence,) = said(reference.check_intensities, Prepared(flair), run)
  assert '50 % quantile 0.78, of the healthy validation scans 0.64 to 0.67' in sentence
  assert said(reference.check_intensities, Prepared(flair), Run(tmp_path)) == []


def detection(share):
  marked = np.zeros((10, 10, 10), bool)
  marked.flat[: int(1000 * share)] = True
  return Detection(None, np.ones((10, 10, 10), bool), marked, ~marked & False, {}, None)


def test_a_share_beyond_all_healthy_scans_is_told_with_both_numbers(tmp_path):
  run = Run(tmp_path, healthy_validation=HEALTHY)
  assert said(reference.check_share, detection(0.14), run, '5') == []
  (sentence,) = said(reference.check_share, detection(0.31), run, '5')
  assert sentence.startswith(
    '31 % of the brain is at or above the threshold, of the healthy validation scans '
    'at most 9 %'
  )


def test_runs_without_the_numbers_compare_with_their_test_scans(tmp_path):
  run = Run(tmp_path)
  assert said(reference.check_share, detection(0.9), run, '5') == []
  counts = {'fp_at_5': np.array([5.0, 8.0]), 'negatives': np.array([100.0, 80.0])}
  names = np.array(['a', 'b'])
  zeros = np.zeros((2, 1))
  numbers = sample.Sample(
    names, names, names == 'a', np.zeros(1), zeros, zeros, counts, {}
  )
  np.savez(tmp_path / 'evaluation.npz', **sample.pack({'residual': numbers}))
  assert said(reference.check_share, detection(0.15), run, '5') == []
  (sentence,) = said(reference.check_share, detection(0.17), run, '5')
  assert 'of the healthy tissue of the test scans at most 10 %' in sentence


def test_healthy_scans_are_described_by_ranges():
  scores = [np.arange(100), np.arange(50, 150)]
  parts = [histogram.histogram(s, np.zeros(100)) for s in scores]
  described = healthy_ranges.describe(
    [[1.0, 2.0, 3.0], [0.5, 2.5, 4.0]],
    [[1.0, 2.0], [2.0, 5.0]],
    {'s': parts},
    {'s': {1: 140.0, 10: 90.0}},
  )
  assert described == {
    'scans': 2,
    'landmarks': [1.5, 3.5],
    'intensity': {'25': [0.5, 1.0], '50': [2.0, 2.5], '75': [3.0, 4.0]},
    'marked': {
      's': {'1': [pytest.approx(0.05), 0.1], '10': [pytest.approx(0.35), 0.6]}
    },
  }
