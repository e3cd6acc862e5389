"""Estimators of uncertainty: numbers of a finished run, and the page of the project."""

import json

from benchmarks import uncertainty
from benchmarks.kept_results import paths
from uad_jax.evaluation.summary import SCHEMA


def estimate(value):
  return {'value': value, 'interval': [round(value - 0.1, 4), round(value + 0.1, 4)]}


def test_scores_gates_and_errors_are_taken_from_the_results(monkeypatch, tmp_path):
  asked = []

  def finished(config, folder):
    asked.append((config.method.name, config.seed, config.method.dropout))
    results = {
      'schema': SCHEMA,
      'run': {'config': {}},
      'scorers': {
        'dropout': {'pooled': {'auprc': estimate(0.4), 'auroc': estimate(0.9)}},
        'dropout_deviation': {'pooled': {'recall_at_1': estimate(0.2)}},
        'residual': {'pooled': {'auprc': estimate(0.3)}},
      },
      'uncertainty': {
        'reconstruction/dropout_deviation': {
          'metrics': {'rank_healthy': estimate(0.1), 'ence_lesion': estimate(2.0)}
        }
      },
    }
    (tmp_path / 'dropout-3').mkdir()
    (tmp_path / 'dropout-3' / 'results.json').write_text(json.dumps(results))

  monkeypatch.setattr(uncertainty.run_folder, 'run', finished)
  monkeypatch.setattr(uncertainty, 'RUNS', tmp_path)
  kept = uncertainty.measure('dropout', 3)
  assert asked == [('ae', 3, 0.2)]
  assert kept['scores']['dropout'] == {'auprc': estimate(0.4)}
  assert kept['errors'] == {
    'reconstruction/dropout_deviation': {'rank_healthy': estimate(0.1)}
  }
  text = uncertainty.page({'dropout': {'3': kept}})
  assert '| dropout | 3 | none | 0.300 [0.200, 0.400] | – | – |' in text
  its_own = '0.400 [0.300, 0.500] | – | 0.200 [0.100, 0.300]'
  assert f'| dropout | 3 | its own | {its_own} |' in text
  assert '| dropout | 3 | reconstruction: dropout | 0.100 [0.000, 0.200] |' in text


def test_the_page_of_the_project_is_what_its_results_render(in_the_project):
  results, page = paths('uncertainty')
  kept = json.loads(results.read_text())
  assert page.read_text() == uncertainty.page(kept)
  assert set(kept) <= set(uncertainty.ROWS)
