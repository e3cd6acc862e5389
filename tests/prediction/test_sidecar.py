"""A prediction is current if all that it was made from is the same."""

import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from uad_jax.data.preprocessing.nifti import Volume
from uad_jax.prediction import file_stamps, native_space, picture_files, sidecar
from uad_jax.prediction.plan import search


@pytest.fixture
def made(tmp_path):
  """A sidecar, its folder, and the files that it was made from."""
  scan, labels = tmp_path / 'scan.nii', tmp_path / 'labels.nii'
  scan.write_bytes(b'a scan')
  labels.write_bytes(b'labels')
  stamps = {'scan': file_stamps.stamp(scan), 'labels': file_stamps.stamp(labels)}
  content = {'made_from': {'run': 'r', **stamps}, 'files': [scan.name]}
  return content, tmp_path, {'scan': scan, 'mask': None, 'labels': labels}


def test_the_same_files_and_run_are_current(made):
  content, folder, files = made
  assert sidecar.is_current(content, folder, 'r', files)
  os.utime(files['scan'], (1, 1))  # another time, the same content
  assert sidecar.is_current(content, folder, 'r', files)


def test_whatever_differs_makes_it_outdated(made):
  content, folder, files = made
  assert not sidecar.is_current(content, folder, 'another', files)
  assert not sidecar.is_current(content, folder / 'sub', 'r', files)
  for change in ({'mask': files['labels']}, {'labels': None}, {'scan': folder / 'no'}):
    assert not sidecar.is_current(content, folder, 'r', files | change)
  assert not sidecar.is_current({}, folder, 'r', files)
  files['labels'].write_bytes(b'Labels')
  assert not sidecar.is_current(content, folder, 'r', files)


def test_other_json_files_are_no_sidecars(tmp_path):
  for text in ('{"EchoTime": 3}', '[1]', 'no json', '\udcff'):
    (tmp_path / 'a.json').write_text(text, errors='surrogateescape')
    assert sidecar.read(tmp_path / 'a.json') == {}
  assert sidecar.read(tmp_path / 'b.json') == {}


@pytest.mark.parametrize('name', ['a.png', 'a.TIFF', 'a.npy'])
def test_the_pixel_size_beside_a_picture_is_part_of_its_stamp(tmp_path, name):
  scan, stated = tmp_path / name, tmp_path / 'a.json'
  scan.write_bytes(b'pixels')
  plain = file_stamps.stamp(scan)
  stated.write_text('{"marked_share_of_brain": 0.1}')  # the sidecar of a prediction
  assert file_stamps.agrees(plain, scan) and file_stamps.stamp(scan) == plain
  stated.write_text('{"spacing_mm": 0.5}')
  half = file_stamps.stamp(scan)
  assert half['spacing_mm'] == [0.5, 0.5]
  assert not file_stamps.agrees(plain, scan) and file_stamps.agrees(half, scan)
  stated.write_text('{"spacing_mm": [0.5, 0.5], "site": 3}')  # the same size
  assert file_stamps.agrees(half, scan)
  for text in ('{"spacing_mm": [0.5, 1]}', '{"spacing_mm": 0}', '{"spacing_mm": "a"}'):
    stated.write_text(text)
    assert not file_stamps.agrees(half, scan)
  stated.unlink()
  assert not file_stamps.agrees(half, scan) and file_stamps.agrees(plain, scan)


def test_the_header_of_an_analyze_pair_is_part_of_its_stamp(tmp_path):
  scan, header = tmp_path / 'a.img', tmp_path / 'a.hdr'
  scan.write_bytes(b'voxels')
  header.write_bytes(b'2 mm')
  stamp = file_stamps.stamp(scan)
  assert file_stamps.agrees(stamp, scan)
  header.write_bytes(b'3 mm')
  assert not file_stamps.agrees(stamp, scan)


@pytest.mark.parametrize('two', [False, True])
def test_copies_of_results_without_sidecars_are_no_scans(tmp_path, two):
  volume, affine = np.ones((4, 5, 6), np.float32), np.diag([2.0, 2, 2, 1])
  kind = nib.Nifti2Image if two else nib.Nifti1Image
  nib.save(kind(volume, affine), tmp_path / 'T1.nii.gz')
  header = nib.load(tmp_path / 'T1.nii.gz').header
  for name, head in (('T1_anomaly.nii.gz', header), ('T1_lesion.nii', None)):
    scan = Volume(volume, affine, 'T1.nii.gz', head)
    native_space.save(volume, scan, tmp_path / name)
  shutil.copy(tmp_path / 'T1_anomaly.nii.gz', tmp_path / 'other.nii.gz')
  (tmp_path / 'broken.nii.gz').write_bytes(b'no NIfTI')
  result = search(str(tmp_path))
  assert result.names == ['T1.nii.gz', 'broken.nii.gz']
  assert {path.name for path in result.results} == {
    'T1_anomaly.nii.gz', 'T1_lesion.nii', 'other.nii.gz'
  }  # fmt: skip
  with pytest.raises(FileNotFoundError, match='is a result of predict and not a scan'):
    search(str(tmp_path / 'other.nii.gz'))


def test_copies_of_pictures_of_results_are_no_scans(tmp_path):
  pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
  Image.fromarray(pixels).save(tmp_path / 'a.png')
  Image.fromarray(pixels).save(tmp_path / 'b.jpg')
  Image.fromarray(pixels.astype(np.float32)).save(tmp_path / 'b.tiff')
  (tmp_path / 'broken.png').write_bytes(b'no picture')
  np.save(tmp_path / 'c.npy', pixels)
  volumes = {'anomaly': pixels[..., None] / 64, 'lesion': pixels[..., None] > 30}
  files = picture_files.writers(tmp_path / 'a.png', volumes, 0.5, None)
  for end, write in files.items():
    write(tmp_path / f'x_{end}')
  result = search(str(tmp_path), pictures=True)
  assert {*result.names} == {'a.png', 'b.jpg', 'b.tiff', 'broken.png', 'c.npy'}
  assert {path.name for path in result.results} == {f'x_{end}' for end in files}
  lesion = np.asarray(Image.open(tmp_path / 'x_lesion.png'))
  assert {*np.unique(lesion)} == {0, 255}
