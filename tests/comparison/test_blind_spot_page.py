"""The tables and the page of the blind-spot study, from records made by hand."""

import json

from uad_jax.comparison import blind_spot_tables, robustness_page
from uad_jax.domain_shift.confusion import COMPARISONS, GROUPS
from uad_jax.domain_shift.shifts import SHIFTS


def record(method='vae', seed=0, target='there', value=0.5, **more):
  estimate = {'value': value, 'interval': [value - 0.1, value + 0.1]}
  names = {
    score: dict.fromkeys(COMPARISONS, estimate) for score in ('map mean', 'gate')
  }
  shifted = {score: dict.fromkeys(SHIFTS, estimate) for score in names}
  return {
    'method': method,
    'seed': seed,
    'config': '0',
    'target': target,
    'scorer': 'residual',
    'threshold': 0.1,
    'reference': 8,
    'n': {group: [3, 30] for group in GROUPS},
    'scans': names,
    'slices': names,
    'shifted': {'scans': shifted, 'slices': shifted},
    'shifted_scans': 2,
    'undefined': {'scans': {}, 'slices': {}},
    'marked': dict.fromkeys((*GROUPS, *SHIFTS), estimate),
    'elbo': {},
    'seconds': 10.0,
  } | more


def test_the_page_has_a_table_for_each_comparison(tmp_path):
  lines = [
    record(value=0.2, undefined={'scans': {}, 'slices': {'gate': 2}}),
    record(seed=1, value=0.4),
    record('dae', value=0.8),
    record('dae', value=0.9),  # the same run again
    record(target='elsewhere'),
  ]
  (tmp_path / 'blind_spot.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  text = robustness_page.page(tmp_path)
  there, elsewhere = text.split('## The blind spot: ')[1:]
  assert there.count('| score | vae | dae |') == 2 * len(COMPARISONS)
  # Oracle: the mean over the seeds of vae, the last record of dae.
  row = '| map mean | 0.300 [0.200, 0.400] | 0.900 [0.800, 1.000] |'
  assert there.count(row) == 2 * len(COMPARISONS)
  assert '| healthy target | 0.300 [0.200, 0.400] |' in there and 'WAIC' not in there
  assert '| score | other contrast | histogram matched |' in there
  assert '3 healthy target (30 slices)' in there
  assert 'Left out, as a statistic is undefined: 2 slices from gate of vae.' in there
  assert 'Simulated shifts' not in elsewhere and 'Left out' not in elsewhere


def test_waic_is_over_the_seeds_of_a_method():
  # Oracle: minus the mean plus the variance over the models, by hand.
  def elbo(healthy, shifted):
    return {'elbo': {'healthy source': healthy, 'healthy target': shifted}}

  agree = elbo({'a': -1.0, 'b': -2.0}, {'c': -1.0, 'd': -1.0})
  differ = elbo({'a': -1.0, 'b': -2.0}, {'c': -5.0, 'd': -2.0})
  records = [record(**agree), record(seed=1, **differ)]
  # WAIC scores: a 1, b 2; c 3 + 4, d 1.5 + 0.25.
  assert blind_spot_tables.ensemble(records)['scans']['shift']['value'] == 0.75
  assert blind_spot_tables.ensemble(records[:1]) == {}
  assert blind_spot_tables.ensemble([records[0], record(seed=1)]) == {}
