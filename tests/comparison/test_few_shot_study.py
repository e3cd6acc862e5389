"""The few-shot study: its trials, what it does not do twice, and its page."""

import json

import numpy as np
import pytest

from tests.small_run import world as world  # a finished run
from uad_jax.comparison import few_shot_record, few_shot_study, robustness_page
from uad_jax.comparison.few_shot_record import Target, Trial

ESTIMATE = {'value': 0.5, 'interval': [0.4, 0.6]}


def record(adaptation='none', subjects=0, draw=0, seed=0, marked=None, **more):
  return {
    'method': 'vae',
    'seed': seed,
    'adaptation': adaptation,
    'target': 'there',
    'subjects': subjects,
    'draw': draw,
    'config': '0',
    'scorer': 'residual',
    'marked': marked or {'a': 0.1, 'b': 0.3},
    'auprc': ESTIMATE,
    'dice': ESTIMATE,
    'source': ESTIMATE,
    'seconds': 10.0,
  } | more


def test_trials_begin_without_adaptation_and_draw_for_each_count():
  listed = few_shot_study.trials(['histogram', 'finetune:all'], [1, 5], 2)
  assert listed[:2] == [Trial('none', 0, 0), Trial('histogram', 0, 0)]
  assert listed[2:] == [
    Trial('finetune:all', k, draw) for k in (1, 5) for draw in (0, 1)
  ]


def test_the_interval_is_over_subjects_and_draws():
  # Oracle: the mean over all; no width without differences; wider with them.
  equal = [record(draw=d, marked={'a': 0.2, 'b': 0.2}) for d in range(3)]
  assert robustness_page.interval_of_marked(equal) == pytest.approx((0.2, 0.2, 0.2))
  mean, low, high = robustness_page.interval_of_marked([record()])
  assert mean == pytest.approx(0.2) and low == pytest.approx(0.1)
  assert high == pytest.approx(0.3)
  draws = [record(draw=d, marked={'a': d / 10, 'b': d / 10}) for d in range(3)]
  mean, low, high = robustness_page.interval_of_marked(draws)
  assert mean == pytest.approx(0.1) and low < 0.05 and high > 0.15
  with pytest.raises(ValueError, match='different test subjects'):
    robustness_page.interval_of_marked([record(), record(marked={'a': 0.1})])


def test_the_page_has_a_row_for_each_adaptation_and_count(tmp_path):
  lines = [
    record(),
    record('finetune', 5, 0),
    record('finetune', 5, 1, marked={'a': 0.0, 'b': 0.5}),
  ]
  (tmp_path / 'few_shot.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  text = robustness_page.page(tmp_path)
  rows = [line for line in text.splitlines() if line.startswith(('| none', '| fine'))]
  assert '## Few-shot adaptation: there' in text and len(rows) == 2
  assert rows[0].startswith('| none | – | 20.0 % [10.0, 30.0] | 30 % | 0.5')
  assert rows[1].startswith('| finetune | 5 | 22.5 % [') and '| 50 % |' in rows[1]
  assert rows[1].endswith('| 2 | 1 | 10 |')


def test_a_trial_with_a_record_is_not_done_again(world, tmp_path, monkeypatch):
  _, _, run, _ = world
  done = []

  def attempt(run, target, trial, workdir):
    done.append(trial)
    return record(trial.adaptation, trial.subjects, trial.draw)

  monkeypatch.setattr(few_shot_study, 'attempt', attempt)
  wanted = few_shot_study.trials(['recalibration'], [1], 2)
  target, path = Target('there', 'x', 'y'), tmp_path / 'few_shot.jsonl'
  few_shot_study.study(run, target, wanted[:2], path, tmp_path)
  records = few_shot_study.study(run, target, wanted, path, tmp_path)
  assert done == wanted and len(records) == 3


def test_shares_are_of_healthy_scans_only(world):
  # Oracle: the counts of the evaluation.
  _, _, run, _ = world
  results = json.loads((run / 'results.json').read_text())
  shares = few_shot_record.shares(run, results['default'])
  assert len(shares) == results['data']['healthy']
  pooled = results['scorers'][results['default']]['pooled']
  assert np.isfinite(list(shares.values())).all() and 'auprc' in pooled
