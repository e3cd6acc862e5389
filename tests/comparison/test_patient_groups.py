"""Groups of test patients: facts, thirds, metrics in each, and their tables."""

import numpy as np
import pytest

from tests import cohort
from uad_jax.comparison import (
  packed_draws,
  patient_groups,
  patient_tables,
  polarity_table,
)
from uad_jax.comparison.records import Record
from uad_jax.evaluation.sample import Sample
from uad_jax.evaluation.scans import Scan, collect
from uad_jax.ops.filters import gaussian_smooth


def noise(shape=(24, 24), seed=0):
  return np.random.default_rng(seed).normal(size=(1, *shape, 1)).astype(np.float32)


@pytest.mark.parametrize('shape', [(24, 24), (12, 12, 12)])
def test_a_blurred_scan_is_less_sharp_at_any_brightness(shape):
  image, mask = noise(shape), np.ones((1, *shape, 1), np.float32)
  mask[:, :2] = 0
  blurred = np.asarray(gaussian_smooth(image, 1.5))
  sharp, dull = (patient_groups.sharpness(x * mask, mask) for x in (image, blurred))
  assert 0 < dull < 0.5 * sharp
  again = patient_groups.sharpness((3 + 2 * image) * mask, mask)
  np.testing.assert_allclose(again, sharp, rtol=1e-4)
  assert np.isnan(patient_groups.sharpness(mask, mask))


def test_facts_are_those_of_the_scan():
  records = cohort.split(3, ['ms', 'none'])
  facts = patient_groups.describe(collect(cohort.batches(records)))
  assert [*facts] == ['sub-30', 'sub-31']
  voxels = sum(float(r['lesion'].sum()) for r in records)
  ill, well = facts.values()
  volume, age, sharp = patient_groups.FACTS
  np.testing.assert_allclose(ill[volume], voxels * 2**3 * 2 / 1000)  # every 2nd slice
  assert well[volume] == 0 and ill[age] is None and ill[sharp] > 0


@pytest.mark.parametrize('planar', [True, False])
def test_facts_of_stacks_and_volumes_agree(planar):
  image = noise((24, 24, 5))[0]
  image = np.asarray(gaussian_smooth(image[None], 1.0))[0]
  arrays = {'image': image, 'mask': np.ones_like(image)}
  scan = Scan('a', 'a', 'none', '', 71.0, 1.0, planar, arrays)
  facts = patient_groups.describe([scan])['a']
  assert facts['age, years'] == 71
  assert 0.1 < facts['sharpness'] < 1


def test_facts_of_other_data_are_not_read(tmp_path):
  path = tmp_path / 'runs' / 'patients.json'
  facts = {'sub-1': dict.fromkeys(patient_groups.FACTS, 1.5), 'sub-2': {}}
  assert patient_groups.read(path, 'abc') == {}
  patient_groups.write(path, 'abc', facts)
  assert patient_groups.read(path, 'abc') == facts
  assert patient_groups.read(path, 'abd') == {}


def test_thirds_are_of_equal_size_and_leave_out_the_unknown():
  values = [*range(1, 10), None]
  groups = patient_groups.thirds(values)
  assert {title: int(rows.sum()) for title, rows in groups.items()} == {
    'up to 3.67': 3, 'up to 6.33': 3, 'above 6.33': 3,
  }  # fmt: skip
  assert not sum(groups.values())[-1]
  assert patient_groups.thirds([1.0] * 9) == {}
  assert patient_groups.thirds([None] * 8 + [1.0, 2.0, 3.0]) == {}


def sample(n, quality, seed=0):
  """n patients and one healthy subject; better scores at a higher quality."""
  rng = np.random.default_rng(seed)
  bins = 32
  lesion, healthy = np.zeros((2, n + 1, bins), int)
  for i in range(n + 1):
    scores = rng.normal(quality * (1 + (i >= n // 2)), 4, 20) + 16
    lesion[i] = np.bincount(np.clip(scores, 0, 31).astype(int), minlength=bins)
    scores = rng.normal(0, 4, 100) + 12
    healthy[i] = np.bincount(np.clip(scores, 0, 31).astype(int), minlength=bins)
  lesion[n] = 0
  names = np.array([f'sub-{i:03}' for i in range(n)] + ['healthy'])
  values = rng.uniform(0.4, 0.6, n + 1) + 0.1 * (np.arange(n + 1) >= n // 2)
  values[n] = np.nan
  return Sample(
    names, np.array(['ms'] * n + ['none']), lesion.sum(1) > 0, np.arange(32.0), healthy,
    lesion, {}, {'auprc': values},
  )  # fmt: skip


def facts_of(n):
  return {
    f'sub-{i:03}': {'lesion volume, ml': float(i), 'age, years': None, 'sharpness': 1.0}
    for i in range(n)
  }


def test_groups_are_measured_apart():
  n = patient_groups.LEAST
  groups = patient_groups.measure(sample(n, 3.0), facts_of(n), resamples=50)
  assert [*groups] == ['lesion volume, ml']  # no ages, one sharpness
  small, _, large = groups['lesion volume, ml'].values()
  assert small['scans'] == large['scans'] == n // 3
  for metric in patient_groups.METRICS:
    low, high = small[metric]['interval']
    assert low < small[metric]['value'] < high < large[metric]['interval'][0]


def test_few_patients_or_unknown_ones_make_no_groups():
  n = patient_groups.LEAST
  assert patient_groups.measure(sample(n - 1, 3.0), facts_of(n), 5) == {}
  assert patient_groups.measure(sample(n, 3.0), facts_of(n - 1), 5) == {}


def told(name, quality, facts, rivals=(), seeds=(0,)):
  """A record of a method whose maps are of this quality."""
  data = sample(len(facts), quality)
  estimated = patient_groups.draws(data, 100)
  patients = {
    metric: {
      'value': estimated.values[metric],
      'interval': [0.1, 0.9],
      'draws': packed_draws.packed(estimated.draws[metric]),
    }
    for metric in patient_groups.METRICS
  }
  groups = patient_groups.measure(data, facts, 20)
  return Record(
    name, '', seeds, 'c', {}, 'residual', None, None, 1, None, {}, '', None,
    list(rivals), patients, groups,
  )  # fmt: skip


def test_the_tables_show_all_methods_groups_and_differences():
  facts = facts_of(patient_groups.LEAST)
  good, poor = told('dae_unc', 4.0, facts, ['a rival']), told('atlas', 1.0, facts)
  text = patient_tables.section([poor, good])
  assert '### Patients with lesions' in text
  ours, theirs = (r.patients['auprc']['value'] for r in (good, poor))
  assert f'| atlas | {theirs:.3f} [0.100, 0.900]' in text
  assert f'| dae_unc | 0 | atlas residual | {ours - theirs:+.3f} [+' in text
  assert 'By lesion volume, ml, AUPRC:' in text and 'up to 19.7 (20): voxels' in text
  assert patient_tables.section([good._replace(groups={})]) == ''


def test_the_gain_by_the_polarity_is_paired_by_seed():
  facts = facts_of(patient_groups.LEAST)
  told_runs = [told('vae', 4.0, facts), told('ae', 2.0, facts)]
  untold = [told('vae', 1.0, facts), told('ae', 2.0, facts, seeds=(1,))]
  text = polarity_table.table(told_runs, untold)
  gap = told_runs[0].patients['auprc']['value'] - untold[0].patients['auprc']['value']
  assert f'{gap:+.3f} [+' in text and '| vae | residual |' in text
  assert '| ae |' not in text  # of another seed
  assert polarity_table.table(told_runs, []) == ''
