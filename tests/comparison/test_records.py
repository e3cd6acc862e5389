"""What docs/ keeps of a run, and how records of several machines come together."""

import jax
import numpy as np
import pytest

from tests.cohort import run
from tests.one_map_record import record
from uad_jax.comparison import (
  packed_draws,
  paired_differences,
  records,
  results,
  seed_means,
  stored_records,
)
from uad_jax.evaluation import bootstrap
from uad_jax.evaluation.metrics import POOLED

GAP = {'value': 0.25, 'interval': [0.125, 0.5]}


def test_records_come_back_as_they_were_written(tmp_path):
  rival = paired_differences.Rival(1, 'fused', 'vae residual', GAP)
  kept = [record((0, 1), over=GAP), record((2,), rivals=[rival], minutes=None)]
  path = tmp_path / 'runs' / 'demo.jsonl'
  stored_records.write(path, kept)
  assert stored_records.read(path) == kept
  assert stored_records.read(tmp_path / 'ixi.jsonl') == []


@pytest.mark.parametrize('seed', [0, 1])
def test_a_gap_of_records_is_the_paired_difference_of_their_samples(seed):
  keys = jax.random.split(jax.random.key(seed))
  samples = [run(key).samples['absolute'] for key in keys]
  auprc = POOLED['auprc']
  a, b = (
    record(
      (0,),
      float(auprc(bootstrap.whole(sample))[0]),
      draws=packed_draws.packed(bootstrap.resample(auprc, sample)),
    )
    for sample in samples
  )
  found = records.gap(a, b)
  value, low, high = bootstrap.paired(auprc, *samples)
  np.testing.assert_allclose(found['value'], value, atol=1e-6)
  np.testing.assert_allclose(
    found['interval'], (low, high), atol=2 / packed_draws.LEVELS
  )
  assert records.gap(a, record((0,))) is None


def test_undefined_draws_are_not_kept():
  assert packed_draws.packed(np.array([0.5, np.nan])) == ''
  draws = np.linspace(0, 1, 2000)
  kept = packed_draws.unpacked(packed_draws.packed(draws))
  np.testing.assert_allclose(kept, draws, atol=0.51 / packed_draws.LEVELS)


@pytest.mark.parametrize('line', ['{"name": "vae"', '{"name": "vae"}', '[]'])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
  path = tmp_path / 'demo.jsonl'
  stored_records.write(path, [record((0,))])
  path.write_text(path.read_text() + line)
  with pytest.raises(ValueError, match='demo.jsonl, line 2, is no record'):
    stored_records.read(path)


def test_a_mean_of_seeds_stays_until_all_of_them_are_run_afresh():
  mean, other = record((0, 1)), record((0,), name='ae')
  fresh = [record((seed,), 0.75) for seed in (0, 1, 2)]
  assert stored_records.merge([mean, other], fresh) == [other, *fresh]
  # Seed 0 is within the mean, and would count twice.
  assert stored_records.merge([mean, other], fresh[::2]) == [mean, other, fresh[2]]
  assert stored_records.merge([fresh[0]], [record((0,), 0.5)]) == [record((0,), 0.5)]


def test_a_record_counts_as_often_as_it_has_seeds():
  members = [record((0, 1, 2), 0.25), record((3,), 0.75, minutes=None)]
  found = seed_means.over_seeds(members, 'auprc')
  assert found == {'value': 0.375, 'interval': [0.125, 0.625]}
  assert results.trained(members) == ['5', '2.0', '4']
  chosen = [members[0], record((3,), default='ssim')]
  assert results.choices(chosen) == 'residual (3), ssim (1)'
  unknown = seed_means.over_seeds(members, 'dlr')
  assert unknown == {'value': None, 'interval': [None, None]}
