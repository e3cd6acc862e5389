import os
import stat

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import TO_SCAN, head
from uad_jax.data.cohorts import layout
from uad_jax.data.preprocessing import brainmask, nifti, preprocess, strip
from uad_jax.data.preprocessing.grid import spacing
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import brain_mask


def dice(a, b):
  return 2 * (a & b).sum() / (a.sum() + b.sum())


def scan(image, affine):
  return ScanState(
    image, None, None, None, None, affine, np.eye(4), None, (), {}, 'head'
  )


def test_a_brain_is_found_in_its_head():
  image, labels, affine = head()
  found = strip.by_template(image, affine)
  assert found.mask.shape == image.shape
  assert dice(found.mask, labels > 0) > 0.93
  # Oracle: the head was made by TO_SCAN.
  assert found.fit.scale == pytest.approx(np.linalg.det(TO_SCAN[:3, :3]), rel=0.05)
  assert found.fit.correlation > 0.9 and found.fit.cut == 0


@pytest.mark.slow
def test_a_stripped_head_gets_the_mask_of_the_whole_one():
  image, labels, affine = head()
  whole = brain_mask(scan(image, affine)).mask
  outside = ndimage.distance_transform_edt(labels == 0, sampling=spacing(affine))
  masks = []
  for mm in (0, 5):
    stripped = scan(np.where(outside <= mm, np.maximum(image, 1), 0), affine)
    state = brain_mask(stripped, trim=True)
    masks.append(state.mask)
    assert dice(masks[-1], whole) > 0.97
    foreground = brainmask.stripped(stripped.image, spacing(affine))
    cut_off = np.count_nonzero(foreground & ~state.mask) * np.prod(spacing(affine))
    assert state.measured['cut_off_ml'] == pytest.approx(cut_off / 1000, abs=0.06)
    assert not (state.mask & ~foreground).any()
  assert dice(*masks) > 0.97 > dice(foreground, whole)


def test_what_has_not_the_shape_of_a_brain_keeps_its_foreground():
  image, _, affine = head()
  box = np.zeros_like(image)
  box[10:50, 14:38, 14:38] = np.random.default_rng(0).uniform(9, 10, (40, 24, 24))
  box = scan(box, affine)
  with pytest.warns(UserWarning, match='ends at a plane'):
    foreground = brain_mask(box)
  with pytest.warns(UserWarning, match='ends at a plane'):
    state = brain_mask(box, trim=True)
  assert state.measured == foreground.measured
  np.testing.assert_array_equal(state.mask, foreground.mask)


@pytest.mark.slow
@pytest.mark.realdata
def test_real_heads(real_data):
  # Oracle: the automatic labels that come with the scans, closed and filled.
  files = layout.bids(labels='derivatives/*/sub-*/**/*_dseg.nii*')
  overlaps = []
  for entry in layout.find(str(real_data / 'ixi_t1_2mm'), files)[::6]:
    native = nifti.read_image(entry.image)
    labels = nifti.read_labels(entry.labels, native)
    truth = brainmask.from_labels(labels, spacing(native.affine))
    overlaps.append(dice(strip.by_template(native.data, native.affine).mask, truth))
  assert np.mean(overlaps) > 0.94 and min(overlaps) > 0.93


def test_ways_to_the_brain():
  image, labels, affine = head()
  whole, stripped = scan(image, affine), scan(np.where(labels > 0, image, 0), affine)
  estimated = brain_mask(whole).measured
  assert list(estimated) == [
    'by', 'volume_ml', 'correlation', 'scale', 'squeeze', 'cut'
  ]  # fmt: skip
  assert estimated['by'] == 'template' and 0.9 < estimated['correlation'] < 1
  volume = np.count_nonzero(labels) * 0.064
  cut = brain_mask(stripped, trim=True).measured
  assert list(cut) == [*estimated, 'cut_off_ml'] and cut['by'] == 'stripped'
  for state, by in (
    (stripped, 'stripped'),
    (whole._replace(labels=labels), 'labels'),
    (whole._replace(mask=labels > 0), 'given'),
  ):
    measured = brain_mask(state).measured
    assert measured['by'] == by and list(measured) == ['by', 'volume_ml']
    assert measured['volume_ml'] == pytest.approx(volume, rel=0.06)
  with pytest.warns(UserWarning, match='rough one by Otsu'):
    assert brain_mask(whole, how='otsu').measured['by'] == 'otsu'
  with pytest.raises(BadScan, match="head has no brain by 'labels'"):
    brain_mask(whole, how='labels')
  with pytest.raises(ValueError, match="how='bet'; allowed are auto, given, labels"):
    brain_mask(whole, how='bet')


def program(folder, name, body):
  """An executable that stands for a program which is not installed here."""
  path = folder / name
  path.write_text(f'#!/usr/bin/env python3\nimport sys, pathlib\n{body}\n')
  path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_programs_of_others(tmp_path, monkeypatch):
  image, labels, affine = head()
  image = np.where(labels > 0, image, 0)
  whole = scan(image, affine)
  monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
  for how in ('hd_bet', 'synthstrip'):
    with pytest.raises(ModuleNotFoundError, match=rf'pip install uad_jax\[{how}\]'):
      brain_mask(whole, how=how)
  # Each writes where it was told to, as the real one does: the scan itself as the mask.
  program(
    tmp_path,
    'hd-bet',
    'import shutil\n'
    'i, o = sys.argv[sys.argv.index("-i") + 1], sys.argv[sys.argv.index("-o") + 1]\n'
    'assert "--disable_tta" in sys.argv and "cpu" in sys.argv\n'
    'shutil.copy(i, o.replace(".nii.gz", "_bet.nii.gz"))',
  )
  found = brain_mask(whole, how='hd_bet')
  np.testing.assert_array_equal(found.mask, image > 0.5)
  assert found.measured['by'] == 'hd_bet' and found.measured['version'] == 'unknown'
  program(tmp_path, 'mri_synthstrip', 'print("no model", file=sys.stderr); sys.exit(3)')
  with pytest.raises(BadScan, match='mri_synthstrip found no brain: no model'):
    brain_mask(whole, how='synthstrip')


def test_a_raw_head_goes_through_the_usual_job():
  image, _, affine = head()
  prepared = preprocess.prepare_scan(
    nib.Nifti1Image(image, affine), preprocess.job((48, 56), 4.0)
  )
  steps = {s['step']: s for s in prepared.chain[1:]}
  assert steps['brain_mask']['by'] == 'template'
  assert steps['align']['correlation'] > 0.9
