"""The blind-spot study: measured scans of a small run, its scores and record."""

import json

import numpy as np
import pytest

from tests.data.heads import head, write
from tests.small_run import world as world  # a finished run
from uad_jax.comparison import blind_spot_record, blind_spot_study
from uad_jax.comparison.blind_spot_run import batches, inferred_scans, open_studied
from uad_jax.comparison.blind_spot_scans import Example, MeasuredScan, measure
from uad_jax.comparison.blind_spot_scores import IMAGE, scores
from uad_jax.domain_shift import gate
from uad_jax.domain_shift.confusion import COMPARISONS, GROUPS
from uad_jax.domain_shift.shifts import SHIFTS
from uad_jax.few_shot import source_run
from uad_jax.report.atomic_files import read_json

CHANGES = {
  'patterns': {
    'labels': 'derivatives/dlmuse/sub-*/**/*_dseg.nii*',
    'lesion': 'derivatives/lesions/sub-*/**/*_mask.nii*',
  },
  'workers': 1,
}


def folder(root, splits, gain):
  """A folder of heads; test subjects with an even number also have a lesion session."""
  image, labels, affine = head(spacing=6.0, shape=(40, 35, 34))
  lesion = np.zeros(image.shape, np.uint8)
  centre = np.argwhere(labels == 1).mean(0).astype(int) + (0, 0, 5)
  lesion[tuple(slice(c - 3, c + 3) for c in centre)] = 1
  lesion *= labels == 1
  table = ['participant_id\tsession_id\tsplit\tpathology']
  for index, split in enumerate(splits):
    rng = np.random.default_rng(index)
    healthy = (image * rng.uniform(0.9, 1.1)) ** gain
    healthy = healthy + rng.normal(0, 0.02 * healthy.max(), image.shape)
    sessions = ('', 'ses-lesion') if split == 'test' and index % 2 == 0 else ('',)
    for session in sessions:
      subject = f'sub-{index:02d}'
      place, name = f'{subject}/{session}/anat', f'{subject}_{session}'.strip('_')
      scan = healthy + bool(session) * lesion * healthy.max()
      write(root / place / f'{name}_T1w.nii.gz', scan.astype(np.float32), affine)
      derived = root / 'derivatives'
      classes = labels.astype(np.uint8)
      write(derived / 'dlmuse' / place / f'{name}_dseg.nii.gz', classes, affine)
      if session:
        write(derived / 'lesions' / place / f'{name}_mask.nii.gz', lesion, affine)
      pathology = 'bright' if session else 'none'
      table.append(f'{subject}\t{session}\t{split}\t{pathology}')
  (root / 'participants.tsv').write_text('\n'.join(table) + '\n')
  return str(root)


@pytest.fixture(scope='module')
def studied(world, tmp_path_factory):
  """The records of the small run for one target, and the folder of source scans."""
  _, _, run, _ = world
  root = tmp_path_factory.mktemp('study')
  home = folder(root / 'home', ['val'] * 8 + ['test'] * 3, 1.0)
  targets = {'there': folder(root / 'there', ['test'] * 3, 0.6)}
  path = root / 'records' / 'blind_spot.jsonl'
  records = blind_spot_study.study(run, home, targets, path, CHANGES, most=2)
  return records, home, targets, path


@pytest.mark.slow
def test_the_study_records_all_groups_scores_and_shifts(world, studied):
  _, _, run, _ = world
  (record,), _, _, path = studied
  assert json.loads(path.read_text()) == record
  results = read_json(run / 'results.json')
  name = results['default']
  assert record['method'] == 'vae' and record['target'] == 'there'
  assert record['scorer'] == name and record['reference'] == 8
  assert record['shifted_scans'] == 2
  # Oracle: the threshold that a run adapted to this one would keep.
  decisions = source_run.decisions({'run': str(run), 'thresholds': 'source'})
  assert record['threshold'] == pytest.approx(decisions.thresholds[name][5])
  assert {n: scans for n, (scans, _) in record['n'].items()} == dict(
    zip(GROUPS, (3, 2, 3, 2), strict=True)
  )
  expected = {'map mean', 'map entropy', 'error mean', 'KL', '-ELBO', '-DoSE', 'gate'}
  expected |= {'-DoSE, diffuse', 'typicality', 'complexity', 'likelihood ratio', 'kNN'}
  for level in ('scans', 'slices'):
    assert expected <= set(record[level])
    for by_name, names in (
      (record[level], COMPARISONS),
      (record['shifted'][level], SHIFTS),
    ):
      for score, estimates in by_name.items():
        assert set(estimates) == set(names), score
        values = [e['value'] for e in estimates.values() if e['value'] is not None]
        assert values and all(0 <= value <= 1 for value in values), score
  assert set(record['marked']) == {*GROUPS, *SHIFTS} == set(record['elbo'])
  assert all(0 <= e['value'] <= 1 for e in record['marked'].values())
  assert len(record['elbo']['healthy target']) == 3
  json.dumps(record, allow_nan=False)


@pytest.mark.slow
def test_what_has_a_record_is_not_measured_again(world, studied, monkeypatch):
  _, _, run, _ = world
  records, home, targets, path = studied
  monkeypatch.setattr(blind_spot_study, 'measure_source', None)
  assert blind_spot_study.study(run, home, targets, path, CHANGES) == records


@pytest.mark.slow
def test_a_map_that_the_run_does_not_have_is_refused(world):
  _, _, run, _ = world
  with pytest.raises(ValueError, match=r"--scorer 'nothing'.*residual"):
    open_studied(run, 'nothing')


@pytest.mark.slow
def test_the_elbo_of_an_unlikely_scan_is_low_and_its_score_high(world, studied):
  # Oracle: a brain of large noise is further from any reconstruction than a head.
  _, _, folder_of_run, _ = world
  _, home, _, _ = studied
  run = open_studied(folder_of_run)
  reader, split = blind_spot_study.open_scans(run.opened, home, CHANGES)
  records = reader(split)

  def noisy(source):
    rng = np.random.default_rng(0)
    for batch in source:
      noise = rng.normal(0, 5, batch['image'].shape)
      image = batch['image'] + noise.astype(np.float32) * batch['mask']
      yield {**batch, 'image': image}

  def measured(source):
    pairs = list(inferred_scans(run, source, 'test'))
    return [measure(run, *pair, 0.0) for pair in pairs], pairs

  usual, pairs = measured(batches(run, records))
  unlikely, _ = measured(noisy(batches(run, records)))
  for a, b in zip(usual, unlikely, strict=True):
    assert b.whole.statistics['elbo'] < a.whole.statistics['elbo'] - 1
  reference = [scan.whole for scan in usual] * 2
  values = [
    scores([scan.whole for scan in part], reference)['-ELBO']
    for part in (usual, unlikely)
  ]
  assert values[1].min() > values[0].max()
  # Oracles: means over the brain, and the detection, by numpy.
  scan, outputs = pairs[0]
  inside = scan.arrays['mask'] > 0
  statistics = usual[0].whole.statistics
  assert statistics['error_mean'] == pytest.approx(scan.arrays['error'][inside].mean())
  assert statistics['elbo'] == pytest.approx(outputs['elbo'].sum() / inside.sum())
  smooth = run.chain.soft(scan.arrays[f'map/{run.scorer}'][..., 0], inside[..., 0])
  marked = run.chain.hard((smooth >= run.threshold) & inside[..., 0])
  assert usual[0].marked == pytest.approx(marked.sum() / inside.sum())


def example(rng, shift=0.0, elbo=0.0, lesion=False, index=0):
  statistics = {name: float(rng.normal() + shift) for name in IMAGE}
  statistics |= {'residual_mean': float(rng.normal() + shift), 'residual_entropy': 0.5}
  statistics['elbo'] = float(rng.normal() - elbo)
  code = np.append(rng.normal(0, 0.1, 3), 1 - 4 * (shift > 0))
  return Example(f'sub-{index}', f'sub-{index}', lesion, statistics, code)


def test_every_score_is_high_for_anomalous_examples():
  rng = np.random.default_rng(0)
  healthy = [example(rng) for _ in range(20)]
  new = [example(rng) for _ in range(5)] + [example(rng, 9, 9) for _ in range(5)]
  computed = scores(new, healthy)
  for name in ('map mean', '-ELBO', '-DoSE', '-DoSE, diffuse', 'typicality', 'kNN'):
    assert computed[name][5:].min() > computed[name][:5].max(), name
  # Serra et al. 2020: minus the log-likelihood in nats minus the complexity in nats.
  elbo, bits = (
    np.array([e.statistics[n] for e in new]) for n in ('elbo', 'complexity')
  )
  np.testing.assert_allclose(
    computed['likelihood ratio'], -elbo - bits * np.log(2), rtol=1e-12
  )
  # Oracle: the gate asked about one example after another.
  known = gate.fit([e.statistics for e in healthy], IMAGE)
  asked = [gate.ask(known, e.statistics).score for e in new]
  np.testing.assert_allclose(computed['gate'], asked, rtol=1e-10)
  assert 'KL' not in computed and 'error mean' not in computed


def test_undefined_statistics_leave_an_example_out():
  rng = np.random.default_rng(1)
  healthy = [MeasuredScan(example(rng, index=i), (), 0.1) for i in range(10)]
  odd = example(rng, index=99)
  odd.statistics['resolution'] = np.nan
  groups = {'healthy target': [*healthy[:3], MeasuredScan(odd, (), 0.2)]}
  table, undefined = blind_spot_record.scored_groups(groups, healthy, 'scans')
  assert undefined == {'-DoSE': 1, '-DoSE, diffuse': 1, 'gate': 1}
  assert len(table['gate']['healthy target'].scores) == 3
  assert len(table['-ELBO']['healthy target'].scores) == 4


def test_healthy_slices_of_a_lesion_scan_are_in_no_group():
  rng = np.random.default_rng(2)
  slices = tuple(example(rng, lesion=bool(z % 2)) for z in range(5))
  lesion = MeasuredScan(example(rng, lesion=True), slices, 0.1)
  healthy = MeasuredScan(example(rng), slices[::2], 0.1)
  assert len(blind_spot_record.examples([lesion], 'slices')) == 2
  assert len(blind_spot_record.examples([healthy], 'slices')) == 3
  assert len(blind_spot_record.examples([lesion, healthy], 'scans')) == 2
