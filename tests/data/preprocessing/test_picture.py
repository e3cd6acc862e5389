"""2-D images are read as volumes of one slice, on their own pixel grid."""

import numpy as np
import pytest
from PIL import Image

from tests.data import pictures
from uad_jax.data.preprocessing import picture, preprocess
from uad_jax.data.preprocessing.nifti import BadScan

ROWS = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.bmp', 'a.npy', 'a.PNG'])
def test_rows_become_y_from_below_and_columns_x(tmp_path, name):
  volume = picture.read(pictures.write(tmp_path / name, ROWS))
  assert volume.shape == (4, 3, 1)
  data = np.asarray(volume.dataobj)
  assert data[0, 2, 0] == ROWS[0, 0] and data[3, 0, 0] == ROWS[2, 3]
  np.testing.assert_array_equal(picture.from_volume(data), ROWS)


def test_16_bit_and_float_values_are_kept(tmp_path):
  deep = ROWS.astype(np.uint16) * 5000
  for path, pixels in (
    (tmp_path / 'deep.png', deep),
    (tmp_path / 'deep.tif', deep),
    (tmp_path / 'float.tif', ROWS / np.float32(7)),
    (tmp_path / 'float.npy', ROWS / 7),
  ):
    data = np.asarray(picture.read(pictures.write(path, pixels)).dataobj)
    np.testing.assert_allclose(picture.from_volume(data), pixels, rtol=1e-6)


def test_colours(tmp_path):
  grey = np.repeat(ROWS[..., None], 3, -1)
  path = pictures.write(tmp_path / 'grey.png', grey)
  np.testing.assert_array_equal(
    picture.from_volume(np.asarray(picture.read(path).dataobj)), ROWS
  )
  colours = grey + np.array([0, 1, 2], np.uint8)
  path = pictures.write(tmp_path / 'colours.png', colours)
  with pytest.raises(BadScan, match='colours.png has 3 colour channels that differ'):
    picture.read(path)
  chosen = picture.from_volume(np.asarray(picture.read(path, 2).dataobj))
  np.testing.assert_array_equal(chosen, ROWS + 2)
  with pytest.raises(BadScan, match='channel 3 was asked for; allowed are 0 to 2'):
    picture.read(path, 3)


def test_a_mask_holds_what_is_not_black(tmp_path):
  image = picture.read(pictures.write(tmp_path / 'a.png', ROWS))
  red = np.zeros((3, 4, 3), np.uint8)
  red[1, 2, 0] = 255
  path = tmp_path / 'mask.png'
  Image.fromarray(red).convert('P').save(path)
  mask = picture.from_volume(np.asarray(picture.read_mask(path, image).dataobj))
  assert np.argwhere(mask).tolist() == [[1, 2]]
  Image.fromarray(red[..., 0] > 0).save(path)  # 1 bit
  mask = picture.from_volume(np.asarray(picture.read_mask(path, image).dataobj))
  assert np.argwhere(mask).tolist() == [[1, 2]]


def spacing_of(path):
  return np.diag(picture.read(path).affine)[:2].tolist()


def test_the_pixel_size_comes_from_the_sidecar_or_the_header(tmp_path):
  path = tmp_path / 'a.tif'
  Image.fromarray(ROWS).save(path, dpi=(50.8, 25.4))
  np.testing.assert_allclose(spacing_of(path), [0.5, 1.0], rtol=1e-4)
  Image.fromarray(ROWS).save(path, dpi=(72, 72))  # a default of image programs
  assert spacing_of(path) == [1.0, 1.0]
  pictures.spacing(path, [0.9, 0.8])
  assert spacing_of(path) == [0.9, 0.8]
  for bad in ('wide', [1, 2, 3], -1, [0.0, 1.0]):
    pictures.spacing(path, bad)
    with pytest.raises(BadScan, match='a.json has'):
      picture.read(path)


def test_unusable_files_get_a_sentence(tmp_path):
  whole = pictures.write(tmp_path / 'a.png', pictures.brain(0)[0])
  cut = tmp_path / 'cut.png'
  cut.write_bytes(whole.read_bytes()[:200])
  text = tmp_path / 'text.png'
  text.write_text('no picture')
  several = tmp_path / 'several.tif'
  Image.fromarray(ROWS).save(
    several, save_all=True, append_images=[Image.fromarray(ROWS)]
  )
  complex_file = pictures.write(tmp_path / 'c.npy', ROWS * 1j)
  pickled = pictures.write(tmp_path / 'p.npy', np.array([{}, {}], object))
  line = pictures.write(tmp_path / 'line.npy', np.ones((1, 5)))
  for path, says in (
    (cut, 'cannot be read as a picture'),
    (text, 'cannot be read as a picture'),
    (pickled, 'cannot be read as a picture'),
    (several, 'holds 2 pictures'),
    (complex_file, 'holds complex128 values'),
    (line, r'has shape \(1, 5\)'),
    (tmp_path / 'absent.png', 'is not a picture'),
    (tmp_path / 'x.doc', 'is not a picture'),
  ):
    with pytest.raises(BadScan, match=says):
      picture.read(path)


def test_too_large_a_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
  path = pictures.write(tmp_path / 'a.png', ROWS)
  monkeypatch.setattr(picture, 'MOST_PIXELS', 11)
  with pytest.raises(BadScan, match='has 4 x 3 pixels; allowed are up to 11'):
    picture.read(path)


def test_the_foreground_is_the_mask_and_results_return_to_the_pixels(tmp_path):
  pixels, lesion = pictures.brain(3, lesion=True)
  path = pictures.write(tmp_path / 'a.png', pixels)
  steps = preprocess.picture_job((32, 32), 1.5, pixel_mm=1.0)
  lesion_file = pictures.write(tmp_path / 'm.png', lesion)
  prepared = preprocess.prepare_scan(path, steps, lesion=lesion_file)
  assert prepared.image.shape == prepared.mask.shape == (32, 32, 1, 1)
  inside = preprocess.restore(prepared.mask[..., 0].astype(np.float32), prepared) > 0.5
  overlap = picture.from_volume(inside) == (pixels > 0)
  assert overlap.mean() > 0.97
  brain = prepared.image[prepared.mask > 0]
  assert np.median(brain) == pytest.approx(0.5, abs=0.02)
  back = picture.from_volume(preprocess.restore(prepared.image[..., 0], prepared))
  assert back.shape == pixels.shape
  assert np.unravel_index(back.argmax(), back.shape) in zip(
    *np.nonzero(lesion), strict=True
  )
  assert prepared.lesion.sum() * 1.5**2 == pytest.approx((lesion > 0).sum(), rel=0.2)


def test_the_step_sets_the_pixel_size(tmp_path):
  path = pictures.write(tmp_path / 'a.png', pictures.brain(0)[0])
  steps = preprocess.picture_job((64, 64), 1.0, pixel_mm=(1.0, 1.25))
  prepared = preprocess.prepare_scan(path, steps)
  rows = np.ptp(np.nonzero(prepared.mask[..., 0, 0].any(0))) + 1
  columns = np.ptp(np.nonzero(prepared.mask[..., 0, 0].any(1))) + 1
  assert rows == pytest.approx(32 * 1.25, abs=2) and columns == pytest.approx(
    38.4, abs=2
  )
  mask = preprocess.restore(prepared.mask[..., 0].astype(np.float32), prepared)
  assert mask.shape == (48, 40, 1)


def test_a_texture_is_its_own_mask_and_is_scaled_to_fit(tmp_path):
  noise = np.random.default_rng(0).integers(0, 255, (50, 100), np.uint8)
  path = pictures.write(tmp_path / 'a.png', noise)
  steps = preprocess.picture_job((32, 32), 0.0, 'percentile')
  prepared = preprocess.prepare_scan(path, steps)
  assert prepared.mask[..., 0, 0].sum() == 32 * 16
  assert prepared.image.shape == (32, 32, 1, 1)


def test_volumes_and_pictures_are_not_mixed_up(tmp_path):
  path = pictures.write(tmp_path / 'a.png', pictures.brain(0)[0])
  with pytest.raises(BadScan, match='a.png is not NIfTI'):
    preprocess.prepare_scan(path, preprocess.IXI_3MM)
  with pytest.raises(BadScan, match='head.nii.gz is not a picture'):
    preprocess.prepare_scan(tmp_path / 'head.nii.gz', preprocess.picture_job())


def test_masks_of_another_size_are_refused(tmp_path):
  path = pictures.write(tmp_path / 'a.png', pictures.brain(0)[0])
  small = pictures.write(tmp_path / 'm.png', pictures.brain(0, (40, 40))[0])
  with pytest.raises(BadScan, match=r'm.png has shape \(40, 40, 1\) and its scan'):
    preprocess.prepare_scan(path, preprocess.picture_job(), lesion=small)
