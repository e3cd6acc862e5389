"""The gate of a run is asked about a scan before the inference."""

import json
import types
import warnings

import numpy as np
import pytest

from tests.domain_shift.phantom import brain
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.domain_shift import gate, statistics
from uad_jax.prediction import domain


def run_of(folder, **healthy):
  content = {'healthy_validation': healthy}
  (folder / 'results.json').write_text(json.dumps(content))
  return types.SimpleNamespace(folder=folder, shape=(32, 36), slice_step=1, scorer='r')


def prepared_of(seed, change=lambda image: image):
  arrays = brain(seed)
  image = np.where(arrays['mask'] > 0, change(arrays['image']), 0).astype(np.float32)
  return types.SimpleNamespace(
    image=image, mask=arrays['mask'], slices=tuple(range(24)), chain=[]
  )


@pytest.fixture(scope='module')
def healthy():
  """Statistics of 12 healthy scans, as healthy_ranges stores them."""
  scans = [statistics.of_scan(**arrays_of(seed)) for seed in range(12)]
  return {
    'scans': 12,
    'statistics': {name: [scan[name] for scan in scans] for name in scans[0]},
    'intensity': {str(q): [0.0, 0.01] for q in (25, 50, 75)},  # none is like this
  }


def arrays_of(seed):
  arrays = brain(seed)
  return {'image': arrays['image'], 'brain': arrays['mask']}


def said(*arguments):
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    facts = domain.check(*arguments)
  return facts, [str(warning.message) for warning in caught]


def darker(image):
  return 0.5 * image


def test_a_scan_of_the_domain_passes_without_a_word(tmp_path, healthy):
  facts, sentences = said(prepared_of(20), run_of(tmp_path, **healthy), True)
  assert facts['domain_p'] > 1 / 13 and facts['outside'] is False
  assert sentences == []  # the ranges of the intensities are not asked any more


def test_a_scan_outside_is_warned_of_once_or_refused(tmp_path, healthy):
  run, scan = run_of(tmp_path, **healthy), prepared_of(20, darker)
  facts, (sentence,) = said(scan, run, False)
  assert sentence.startswith('this scan lies outside of the training domain (p = 0.077')
  assert 'overall contrast' in sentence or 'overall brightness' in sentence
  # oracle: the gate itself, on the whole scan
  rows = [dict(zip(healthy['statistics'], row, strict=True))
          for row in zip(*healthy['statistics'].values(), strict=True)]  # fmt: skip
  answer = gate.ask(gate.fit(rows), statistics.of_scan(scan.image, scan.mask))
  assert facts == {'domain_p': answer.p, 'outside': True}
  with pytest.raises(BadScan, match='outside of the training domain .*--refuse is set'):
    domain.check(scan, run, True)


def test_every_second_slice_is_compared_with_such_scans(tmp_path, healthy):
  run = run_of(tmp_path, **healthy)
  run.slice_step = 2
  scan = prepared_of(20)
  thin = statistics.of_scan(scan.image[:, :, ::2], scan.mask[:, :, ::2])
  known = domain.gate_of(run, [])
  assert domain.ask(scan, run) == gate.ask(known, thin)


@pytest.mark.parametrize('missing', ['statistics', 'scans'])
def test_runs_without_a_gate_compare_the_intensities(tmp_path, healthy, missing):
  few = {name: values[:7] for name, values in healthy['statistics'].items()}
  stored = healthy | {'statistics': {} if missing == 'statistics' else few}
  facts, (sentence,) = said(prepared_of(20), run_of(tmp_path, **stored), True)
  assert facts == {'domain_p': None, 'outside': None}
  assert sentence.startswith('the intensities in the brain are unusual')
