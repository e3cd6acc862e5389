import csv
import html.parser
import json
import re

import jax
import numpy as np
import pytest

from tests.cohort import METHOD, SCORERS, batches, run, split
from uad_jax import report
from uad_jax.evaluate import evaluate
from uad_jax.evaluation.sample import load
from uad_jax.report import atomic_files, figures, pictures, tables


@pytest.fixture(scope='module')
def results():
  return run(jax.random.key(0))


@pytest.fixture(scope='module')
def written(results, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run')
  lines = [{'step': s, 'prior/loss': 1 / s, 'prior/note': 'x'} for s in (1, 2, 3)]
  text = '\n'.join(map(json.dumps, lines)) + '\n{"step": 4, "pri'
  (workdir / 'metrics.jsonl').write_text(text)
  path = report.write(
    results,
    workdir,
    title='a <method> & more',
    config={'method': {'name': 'dae_unc', 'width': 4}},
    seed=3,
    manifest='0123abcd',
    command="python -m uad_jax.main --config='a b'",
  )
  return path


class Page(html.parser.HTMLParser):
  """Collects text and the sources of pictures, and checks that tags are balanced."""

  def __init__(self):
    super().__init__()
    self.open, self.text, self.sources = [], [], []

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    if 'src' in attrs or 'href' in attrs:
      self.sources.append(attrs.get('src') or attrs['href'])
    if tag not in ('meta', 'img', 'br', 'link'):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


def parse(path):
  parsed = Page()
  parsed.feed(path.read_text())
  assert parsed.open == []
  return parsed, re.sub(r'\s+', ' ', ' '.join(parsed.text))


def test_the_page_is_self_contained(written):
  parsed, _ = parse(written)
  assert parsed.sources
  assert all(source.startswith('data:image/png;base64,') for source in parsed.sources)
  assert 'http' not in written.read_text().split('</style>')[1]


def test_the_page_holds_the_numbers_command_config_and_versions(written, results):
  _, text = parse(written)
  found = results.summary['scorers']['absolute']
  for metric in ('auprc', 'oracle_dice', 'dice_at_5', 'healthy_fpr_at_5'):
    estimate = found['pooled'][metric]
    assert tables.number(estimate['value']) in text, metric
    assert tables.bounds(estimate) in text, metric
  for piece in (
    'a <method> & more',
    "python -m uad_jax.main --config='a b'",
    '0123abcd',
    '"width": 4',
    f'jax {jax.__version__}',
    'sub-21',
    'Training',
    'tumour',
  ):
    assert piece in text, piece


def test_results_json_is_strict_json_with_the_run(written, results):
  content = json.loads(
    (written.parent / 'results.json').read_text(),
    parse_constant=lambda name: pytest.fail(f'{name} is not JSON'),
  )
  run = content.pop('run')
  assert content == json.loads(json.dumps(results.summary))
  assert run['config'] == {'method': {'name': 'dae_unc', 'width': 4}}
  assert (run['seed'], run['manifest']) == (3, '0123abcd')
  assert run['versions']['numpy'] == np.__version__


def test_subjects_csv_has_a_row_for_each_scan_and_scorer(written, results):
  with open(written.parent / 'subjects.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == len(results.subjects) == 5 * 2
  assert {row['scorer'] for row in rows} == {'absolute', 'signed'}
  healthy = [row for row in rows if row['pathology'] == 'none']
  assert all(row['auprc'] == '' for row in healthy)
  for row, expected in zip(rows, results.subjects, strict=True):
    assert float(row['score_mean']) == expected['score_mean']


def test_evaluation_npz_gives_the_samples_back(written, results):
  back = load(written.parent / 'evaluation.npz')
  for name, sample in results.samples.items():
    np.testing.assert_array_equal(back[name].lesion, sample.lesion)
    for value, numbers in sample.values.items():
      np.testing.assert_array_equal(back[name].values[value], numbers)


def test_no_temporary_file_is_left(written):
  assert sorted(path.name for path in written.parent.iterdir()) == [
    'evaluation.npz',
    'metrics.jsonl',
    'report.html',
    'results.json',
    'subjects.csv',
  ]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
  path = tmp_path / 'results.json'
  path.write_text('old')

  def fail(file):
    file.write(b'half of the n')
    raise OSError('disk full')

  with pytest.raises(OSError, match='disk full'):
    atomic_files.write_atomically(path, fail)
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_a_page_without_lesions_registration_or_training(tmp_path):
  def infer(params, stats, batch, key):
    return {'prior': batch['image'] * 0.5}

  found = evaluate(
    METHOD._replace(infer=infer),
    {},
    {},
    {'absolute': SCORERS['absolute']},
    batches(split(1, ('none',) * 2)),
    batches(split(2, ('none',) * 2)),
    jax.random.key(0),
    resamples=10,
    progress=False,
  )
  path = report.write(found, tmp_path, title='healthy', config={}, seed=0)
  _, text = parse(path)
  assert 'Registration and gate' not in text
  assert 'Deformation' not in text
  assert 'By pathology' not in text


def test_absent_outputs_have_no_column(results):
  shown = pictures.columns(results.cases)
  assert shown == list(pictures.COLUMNS)
  bare = [
    case._replace(panels={k: v for k, v in case.panels.items() if k != 'gate'})
    for case in results.cases
  ]
  assert pictures.columns(bare) == [k for k in pictures.COLUMNS if k != 'gate']


def test_pictures_stand_upright():
  panel = np.zeros((4, 6, 1), np.float16)
  panel[3, 5] = 1  # the patient's right, front
  for kind in (np.float16, bool):
    drawn = pictures.upright(panel.astype(kind))  # shown with origin='lower'
    assert drawn.shape == (6, 4)
    assert drawn[5, 3] == 1


def test_the_frame_holds_the_brain_with_a_margin(results):
  left, right, low, high = pictures.frame(results.cases[0])
  assert (left, right, low, high) == (0, 16, 0, 16)  # brain 2 to 13, margin 3, size 16
  panels = {'mask': np.zeros((40, 30, 1))}
  panels['mask'][10:20, 8:18] = 1
  case = results.cases[0]._replace(panels=panels)
  assert pictures.frame(case) == (7, 23, 5, 21)


def test_the_same_results_give_the_same_picture(results):
  shown = pictures.columns(results.cases)
  first, second = (pictures.strip(results.cases[0], shown, (0, 1)) for _ in range(2))
  assert first == second
  other = pictures.strip(results.cases[-1], shown, (0, 1))
  assert first != other


def test_training_curve_needs_a_loss():
  assert figures.training([{'step': 1, 'seconds': 2.0}]) is None
  assert figures.training([{'step': 1, 'a/loss': -2.0}])[:4] == b'\x89PNG'


def test_text_table_is_aligned_and_marks_the_default(results):
  lines = tables.text(tables.rows(results.summary)).splitlines()
  assert len({len(line) for line in lines}) == 1
  assert lines[2].startswith('absolute *')
  auprc = results.summary['scorers']['signed']['pooled']['auprc']
  assert f'{auprc["value"]:.3f} [' in lines[3]
  assert lines[0].split()[:2] == ['map', 'AUPRC']


@pytest.mark.parametrize(
  'value, text',
  [
    (None, '–'),
    (0.0, '0.000'),
    (0.3134, '0.313'),
    (0.00042, '0.00042'),
    (-1.5, '-1.500'),
  ],
)
def test_numbers(value, text):
  assert tables.number(value) == text
