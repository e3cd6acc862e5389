"""Folders of 2-D images are found in the layouts of the field's benchmarks."""

import pytest

from tests.data import pictures
from uad_jax.data import manifest, reading
from uad_jax.data.cohorts import image_layout
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets.image_folder.image_folder_dataset_builder import (
  find,
  open_builder,
)

FRACTIONS = {'train': 0.9, 'val': 0.1}
COUNTS = {
  # tree: split -> (images, images with a lesion mask)
  'mvtec': {'train': (4, 0), 'test': (3, 2)},
  'mvtec2': {'train': (2, 0), 'val': (1, 0), 'test': (2, 1)},
  'stroke': {'train': (2, 0), 'val': (1, 0), 'val_lesion': (1, 1), 'test': (3, 2)},
  'bmad': {'train': (2, 0), 'val': (1, 0), 'val_lesion': (1, 1), 'test': (2, 1)},
  'medianomaly': {'train': (3, 0), 'test': (2, 1)},
}


def counts(entries):
  result = {}
  for entry in entries:
    images, lesions = result.get(entry.split, (0, 0))
    result[entry.split] = images + 1, lesions + (entry.lesion is not None)
  return result


@pytest.mark.parametrize('tree', pictures.TREES)
def test_the_tree_of_a_benchmark(tmp_path, tree):
  pictures.TREES[tree](tmp_path)
  entries = image_layout.folders(str(tmp_path))
  assert counts(entries) == COUNTS[tree]
  assert not [entry.problem for entry in entries if entry.problem]
  assert {e.pathology == 'none' for e in entries if e.lesion is None} == {True}
  assert len({(e.subject, e.session) for e in entries}) == len(entries)


def test_the_table_of_subjects_names_them(tmp_path):
  pictures.stroke(tmp_path)
  entries = {e.subject: e for e in image_layout.folders(str(tmp_path))}
  assert sorted(entries) == [f'sub-{n}' for n in range(1, 8)]
  assert entries['sub-7'].age == 57 and entries['sub-7'].people == {'sex': 'F'}


def test_without_validation_images_some_training_subjects_are_set_aside(tmp_path):
  pictures.healthy(tmp_path / 'train/good', [f'{n:03}' for n in range(40)])
  entries, _ = find(str(tmp_path), 'folders', {}, {'train': 0.75, 'val': 0.25})
  splits = counts(entries)
  assert splits['train'][0] + splits['val'][0] == 40 and 4 <= splits['val'][0] <= 16
  more = {'subject': r'/(\d\d)\d\.'}
  entries, _ = find(str(tmp_path), 'folders', more, {'train': 0.5, 'val': 0.5})
  by_subject = {}
  for entry in entries:
    by_subject.setdefault(entry.subject, set()).add(entry.split)
  assert sorted(by_subject) == ['00', '01', '02', '03']
  assert all(len(splits) == 1 for splits in by_subject.values())


def test_patterns(tmp_path):
  pictures.healthy(tmp_path / 'controls', ['a', 'b', 'c', 'd'])
  pictures.ill(tmp_path / 'patients', tmp_path / 'masks', ['p', 'q'], 9, '_seg')
  options = dict(
    train='controls/[ab].png',
    val='controls/c.png',
    test='[cp]*/[dpq].png',
    healthy='controls/*',
    lesion='masks/{name}_seg.png',
  )
  entries = image_layout.patterns(str(tmp_path), **options)
  assert counts(entries) == {'train': (2, 0), 'val': (1, 0), 'test': (3, 2)}
  with pytest.raises(BadScan, match=r"the pattern 'masks/\{id\}.png' is not under"):
    image_layout.patterns(str(tmp_path), **options | {'lesion': 'masks/{id}.png'})
  with pytest.raises(BadScan, match="no picture that matches .*train='x/\\*'"):
    image_layout.patterns(str(tmp_path), **options | {'train': 'x/*'})


def test_brain_masks_from_files(tmp_path):
  pictures.mvtec(tmp_path)
  for path in sorted(tmp_path.glob('t*/*/*.png')):
    mask = tmp_path / 'brain' / path.parent.name / path.name
    pictures.write(mask, pictures.brain(0)[0])
  entries = image_layout.folders(str(tmp_path), mask='brain/{kind}/{name}.png')
  missing = [entry for entry in entries if entry.mask is None]
  assert len(entries) == 7 and all('no brain mask' in e.problem for e in missing)
  assert {e.pathology for e in entries if e.mask} >= {'spot'}


def test_what_is_wrong_with_a_folder_is_told(tmp_path):
  with pytest.raises(BadScan, match='is not a folder.*--config.data.source=DIR'):
    image_layout.folders('')
  with pytest.raises(BadScan, match='no pictures in folders such as train/good'):
    image_layout.folders(str(tmp_path))
  pictures.mvtec(tmp_path)
  (tmp_path / 'ground_truth/spot/001_mask.png').unlink()
  problems = [e.problem for e in image_layout.folders(str(tmp_path)) if e.problem]
  assert len(problems) == 1 and 'test/spot/001.png has no lesion mask' in problems[0]
  copied = (tmp_path / 'train/good/000.png').read_bytes()
  (tmp_path / 'test/good/leak.png').write_bytes(copied)
  with pytest.raises(BadScan, match='are one picture; allowed is each picture in one'):
    image_layout.folders(str(tmp_path))


def test_the_builder_prepares_slices_with_their_lesions(tmp_path):
  source = tmp_path / 'source'
  pictures.stroke(source)
  job = {'shape': (32, 32), 'spacing': 1.5}
  builder = open_builder(str(source), tmp_path / 'data', job=job, workers=1)
  builder.download_and_prepare()
  assert {s: i.num_examples for s, i in builder.info.splits.items()} == {
    split: images for split, (images, _) in COUNTS['stroke'].items()
  }
  records = reading.stored(builder, 'test')
  by_subject = {
    record['subject']: record for record in map(records.__getitem__, range(3))
  }
  assert by_subject['sub-5']['pathology'] == 'none'
  assert not by_subject['sub-5']['lesion'].any()
  for subject in ('sub-6', 'sub-7'):
    record = by_subject[subject]
    assert record['image'].shape == (32, 32, 1) and record['position'] == 0.5
    lesion = record['lesion'] > 0
    assert lesion.any() and record['image'][lesion].min() > record['image'].mean()
  assert len(manifest.read(builder.data_dir)['volumes']) == 7


def test_a_pixel_size_that_changes_makes_the_data_anew(tmp_path, capsys):
  source = tmp_path / 'source'
  pictures.stroke(source)
  path = source / 'train/good/sub-1.png'
  pictures.spacing(path, 1.0)
  job = {'shape': (32, 32), 'spacing': 1.5}

  def opened():
    builder = open_builder(str(source), tmp_path / 'data', job=job, workers=1)
    builder = builder.up_to_date()
    builder.download_and_prepare()
    volumes = manifest.read(builder.data_dir)['volumes']
    return builder.data_dir, {v['subject']: v['sha256'] for v in volumes}

  first, before = opened()
  assert opened()[0] == first
  capsys.readouterr()
  pictures.spacing(path, 0.75)
  second, after = opened()
  assert second != first and 'files of sub-1 replaced' in capsys.readouterr().err
  assert [name for name in after if after[name] != before[name]] == ['sub-1']
  path.with_suffix('.json').unlink()
  assert opened()[0] not in (first, second)
  pictures.spacing(path, 1.0)
  assert opened()[0] == first


def test_options_are_checked(tmp_path):
  pictures.mvtec(tmp_path)
  for options, says in (
    ({'layout': 'bids'}, "unknown layout 'bids'; there are folders, patterns"),
    ({'patterns': {'train': '*'}}, "unknown pattern 'train'; there are subject, mask"),
    ({'color': 1}, "takes no 'color'"),
  ):
    with pytest.raises(ValueError, match=says):
      open_builder(str(tmp_path), tmp_path / 'data', **options)
