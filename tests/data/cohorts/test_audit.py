import json
import shutil
import warnings

import numpy as np
import pytest

from tests.data.heads import TO_SCAN, head, write
from uad_jax import prepare
from uad_jax.data import manifest
from uad_jax.data.cohorts import audit, scan_summary
from uad_jax.datasets import catalogue

DUPLICATE, TURNED, OTHER, SMALL = 'IXI201', 'IXI202', 'IXI203', 'IXI204'
SOUND = tuple(f'IXI{n}' for n in range(101, 107))


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Data folder of an IXI cohort with planted mistakes, built by the builder of IXI."""
  root = tmp_path_factory.mktemp('audit')

  def scan(name, image, labels, affine):
    stripped = np.where(labels > 0, image, 0)
    write(root / f'source/IXI-T1/{name}-HH-1000-T1.nii.gz', stripped, affine)

  spacing, shape = 6.0, (40, 35, 33)
  for seed, name in enumerate(SOUND):
    random = np.random.default_rng(seed)
    to_scan = TO_SCAN.copy()
    to_scan[:3, :3] *= random.uniform(0.96, 1.04)
    image, labels, affine = head(spacing, shape, to_scan, seed)
    # Brains differ: each has its own waves of intensity.
    waves = np.sin(np.indices(shape) * random.uniform(0.6, 1.0, (3, 1, 1, 1))).sum(0)
    scan(name, image * (1 + 0.07 * waves), labels, affine)
  first = root / f'source/IXI-T1/{SOUND[0]}-HH-1000-T1.nii.gz'
  shutil.copy(first, root / f'source/IXI-T1/{DUPLICATE}-HH-1000-T1.nii.gz')
  image, labels, affine = head(spacing, shape, seed=8)
  # The second axis of these scans runs up.
  scan(TURNED, image[:, ::-1], labels[:, ::-1], affine)
  scan(OTHER, np.maximum(1100 - image, 50), labels, affine)
  to_scan = TO_SCAN.copy()
  to_scan[:3, :3] *= 0.75
  scan(SMALL, *head(spacing, shape, to_scan, 9))
  arguments = ['build', 'ixi', f'--source={root}/source', f'--data_dir={root}/data']
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # the planted scans fit the template badly
    status = prepare.main(
      [*arguments, '--workers=1', '--shape', '48', '56', '--spacing=4']
    )
  assert status == 0
  return root / 'data'


@pytest.fixture
def copy(prepared, tmp_path):
  """A copy that a test may damage."""
  shutil.copytree(prepared, tmp_path / 'data')
  return tmp_path / 'data'


def audited(folder):
  """The scans, and scan to sentences of its findings."""
  (ready,) = catalogue.prepared(folder, 'ixi')
  scans, findings = audit.run(ready.folder)
  sentences = {}
  for finding in findings:
    sentences.setdefault(finding.scan, []).append(finding.sentence)
  return scans, sentences


@pytest.mark.slow
def test_each_planted_mistake_is_found(prepared):
  scans, sentences = audited(prepared)
  assert len(scans) == len(SOUND) + 4
  assert any(f'is the same as {SOUND[0]}' in s for s in sentences[DUPLICATE])
  assert any('upside down' in s for s in sentences[TURNED])
  assert any('intensity' in s or 'darkest' in s for s in sentences[OTHER])
  assert any('brain' in s for s in sentences[SMALL])
  assert not set(sentences) & set(SOUND)


@pytest.mark.slow
def test_the_command_prints_findings_and_fails(prepared, capsys):
  assert prepare.main(['check', 'ixi', f'--data_dir={prepared}']) == 1
  output = capsys.readouterr()
  assert f'{DUPLICATE} is the same as' in output.out
  page = next(prepared.rglob('gallery.html')).read_text()
  # The doubtful come first.
  assert page.index(f'<b>{DUPLICATE}') < page.index(f'<b>{SOUND[0]}')
  assert page.count('data:image/png') == len(SOUND) + 4
  assert prepare.main(['check', 'wmh', f'--data_dir={prepared}']) == 1
  assert "has no prepared 'wmh'" in capsys.readouterr().err


@pytest.mark.slow
def test_damage_is_audited(copy):
  shard = max(copy.rglob('*.array_record*'), key=lambda p: p.stat().st_size)
  content = bytearray(shard.read_bytes())
  middle = len(content) // 2
  content[middle : middle + 4000] = bytes(4000)
  shard.write_bytes(content)
  _, sentences = audited(copy)
  assert any(
    'damaged' in s or 'other records' in s for some in sentences.values() for s in some
  )


@pytest.mark.slow
def test_another_manifest_is_audited(copy):
  path = next(copy.rglob(manifest.NAME))
  content = json.loads(path.read_text())
  content['volumes'][0]['records'] = '0' * 64
  lost = content['volumes'].pop()
  content['skipped'] = ['IXI999 has 2 images; allowed is one']
  path.write_text(json.dumps(content))
  _, sentences = audited(copy)
  first = content['volumes'][0]['subject']
  assert 'has other records than the manifest tells' in sentences[first]
  assert f'is in {lost["split"]} but not in the manifest' in sentences[lost['subject']]
  assert sentences[''] == ['left out: IXI999 has 2 images; allowed is one']
  path.write_text('{')
  _, sentences = audited(copy)
  assert 'damaged' in sentences[''][0]


def summary(subject, split, session='', seed=0, **changes):
  thumbnail = np.random.default_rng(seed).normal(size=(3, scan_summary.SIDE**2))
  thumbnail /= np.linalg.norm(thumbnail, axis=1, keepdims=True)
  scan = scan_summary.ScanSummary(
    subject, session, split, str(seed), 1, np.zeros((2, 2)), np.zeros((2, 2), bool),
    {'brain volume in ml': 1400.0}, thumbnail.ravel(), '', 'none',
  )  # fmt: skip
  return scan._replace(**changes)


def test_leaks_are_found_by_subject_session_and_content():
  def sentences(*scans):
    volumes = [
      {'subject': s.subject, 'session': s.session, 'split': s.split} for s in scans
    ]
    return [f.sentence for f in audit.findings(scans, {'volumes': volumes})]

  assert sentences(summary('a', 'train'), summary('b', 'test', seed=1)) == []
  assert sentences(summary('a', 'train', 's1'), summary('a', 'test', 's2', 1)) == [
    'is in test, and its subject also in train'
  ]
  assert sentences(summary('a', 'train'), summary('b', 'test')) == [
    'is the same as a, in train and test: leak'
  ]
  near = summary('b', 'train', thumbnail=summary('a', 'train').thumbnail, sha256='x')
  assert sentences(summary('a', 'train'), near) == ['looks the same as a']
  # A validation scan with a lesion beside its lesion-free twin is no leak.
  assert (
    sentences(summary('a', 'val'), summary('a', 'val_lesion', 's', pathology='ms'))
    == []
  )
