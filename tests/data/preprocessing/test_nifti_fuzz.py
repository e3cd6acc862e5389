"""Damaged NIfTI files: a scan or one sentence, never a traceback, NaN or much memory.

Each case takes one of several small files, changes fields of its header, flips bytes,
cuts it or adds bytes, compresses it, and sometimes damages the compressed bytes. The
changed fields are mostly those that decide sizes, place and scaling.
"""

import functools
import gzip
import logging
import os
import tracemalloc
import warnings

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.preprocessing.nifti_files import image, smooth_volume, with_fields
from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.data.preprocessing.nifti import BadScan

AFFINE = np.diag([-4.0, 4, 5, 1])
AFFINE[:3, 3] = 20, -30, 5
SLACK = {'read': 1_000_000, 'prepare': 3_000_000}
"""Bytes that any call may take, beside ten times the size of the file: for modules and
buffers, and for the grid that a step makes."""

STEPS = (
  [('check', {}), ('reorient', {}), ('intensity', {'how': 'percentile'})],
  [
    ('check', {}),
    ('reorient', {}),
    ('brain_mask', {'how': 'stripped'}),
    ('crop', {'margin': 4.0}),
    ('resample', {'spacing': 6.0}),
    ('intensity', {'how': 'zscore'}),
    ('pad_or_crop', {'shape': (12, 12)}),
    ('slices', {}),
  ],
  [('resample', {'spacing': 8.0}), ('intensity', {'how': 'maximum'})],
  [('intensity', {'how': 'peaks'})],
)


def _files():
  """Bytes of small valid files, and the class of their headers."""
  made = {'qform': image(qform=(AFFINE, 1)), 'both': None}
  made['both'] = image(qform=(AFFINE, 1), sform=(AFFINE, 2), unit='mm')
  scaled = image(sform=(AFFINE, 1))
  scaled.header.set_slope_inter(0.5, -100)
  floats = nib.Nifti1Image(smooth_volume().astype(np.float32) / 900, AFFINE)
  extended = image(sform=(AFFINE, 1), unit='unknown')
  extended.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'12345678'))
  swapped = made['both']
  swapped = nib.Nifti1Image(swapped.dataobj, AFFINE, swapped.header.as_byteswapped())
  series = nib.Nifti1Image(np.stack([smooth_volume()] * 2, -1), AFFINE)
  made |= {'scaled': scaled, 'floats': floats, 'extended': extended}
  made |= {'swapped': swapped, 'series': series}
  made['nifti2'] = image(qform=(AFFINE, 1), kind=nib.Nifti2Image)
  return [(m.to_bytes(), type(m.header)) for m in made.values()]


FILES = _files()
SIZES = st.sampled_from([0, 1, 2, 6, 7, 8, 9, 64, 700, 32767, -1, -32768])
NUMBERS = st.one_of(
  st.sampled_from([0.0, 1.0, -1.0, 1e-3, 1e3, 1e-30, 1e30, 3e38, 352.0, 1e6]),
  st.floats(width=32),
)
FIELDS = {
  'dim': st.lists(SIZES, min_size=8, max_size=8),
  'pixdim': st.lists(NUMBERS, min_size=8, max_size=8),
  'datatype': st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64, 77, 128, 256, 512, 1280]),
  'xyzt_units': st.integers(0, 255),
  'qform_code': st.integers(-1, 6),
  'sform_code': st.integers(-1, 6),
  'srow_x': st.lists(NUMBERS, min_size=4, max_size=4),
  'magic': st.sampled_from([b'n+1', b'ni1', b'n+2', b'xyz', b'']),
  'intent_code': st.integers(-5, 3000),
  **{
    name: NUMBERS
    for name in (
      'vox_offset', 'scl_slope', 'scl_inter', 'quatern_b', 'quatern_c', 'quatern_d',
      'qoffset_x', 'cal_max', 'slice_duration',
    )
  },
}  # fmt: skip
CHANGES = st.lists(
  st.sampled_from(sorted(FIELDS)).flatmap(lambda n: st.tuples(st.just(n), FIELDS[n])),
  max_size=2,
)
FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3)
CASES = {
  'which': st.integers(0, len(FILES) - 1),
  'one_size': st.one_of(*[st.none()] * 3, st.tuples(st.integers(0, 7), SIZES)),
  'changes': CHANGES,
  'flips': FLIPS,
  'header_only': st.booleans(),
  'cut': st.one_of(*[st.none()] * 4, st.floats(0, 1), st.integers(-64, 64)),
  'packed': st.sampled_from(['', 'gz', '', 'gz', 'damaged gz']),
  'packed_flips': FLIPS,
  'steps': st.integers(0, len(STEPS) - 1),
}


def damaged(which, one_size, changes, flips, header_only, cut):
  """Bytes of a file with changed fields and bytes, cut or extended."""
  data, kind = FILES[which]
  fields = {}
  if one_size:
    fields['dim'] = np.array(kind(data[: kind.sizeof_hdr], check=False)['dim'])
    fields['dim'][one_size[0]] = one_size[1]
  with np.errstate(all='ignore'):
    for name, value in changes:
      whole = name == 'vox_offset' and kind is nib.Nifti2Header
      fields[name] = int(np.clip(np.nan_to_num(value), -1e9, 1e9)) if whole else value
    data = with_fields(data, kind, **fields)
  data = flipped(data, flips, kind.sizeof_hdr if header_only else len(data))
  if isinstance(cut, float):
    return data[: int(cut * len(data))]
  return data if cut is None else data[:cut] if cut < 0 else data + bytes(cut)


def flipped(data, flips, end):
  data = bytearray(data)
  for place, mask in flips:
    if data:
      data[min(int(place * end), len(data) - 1)] ^= mask
  return bytes(data)


def read(path, function, slack):
  """Result of a function of a path, or None if it refused; checks its manners."""
  size = os.path.getsize(path)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    warnings.filterwarnings('ignore', f'{path}')  # sentences about this file
    warnings.filterwarnings('ignore', 'grey and white matter')
    tracemalloc.start()
    try:
      result = function(path)
    except BadScan as error:
      assert '\n' not in str(error) and 'allowed' in str(error)
      result = None
    finally:
      peak = tracemalloc.get_traced_memory()[1]
      tracemalloc.stop()
  assert peak < 10 * size + slack
  return result


def check(folder, packed, packed_flips, steps, **case):
  """Reads one damaged file, alone and through some steps of the preprocessing."""
  data = damaged(**case)
  path = folder / ('scan.nii.gz' if packed else 'scan.nii')
  if packed:
    data = gzip.compress(data, 1, mtime=0)
    data = flipped(data, packed_flips, len(data)) if packed == 'damaged gz' else data
  path.write_bytes(data)
  volume = read(path, nifti.read_image, SLACK['read'])
  if volume is not None:
    assert volume.data.dtype == np.float32 and volume.data.ndim == 3
    assert np.isfinite(volume.affine).all()
    for function in (nifti.read_mask, nifti.read_labels):
      read(path, functools.partial(function, scan=volume), SLACK['read'])
    scan = functools.partial(preprocess.prepare_scan, steps=STEPS[steps])
    prepared = read(path, scan, SLACK['prepare'])
    if prepared is not None:
      assert np.isfinite(prepared.image).all() and np.isfinite(prepared.affine).all()
  return volume


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder for the files; nibabel logs what it mends in headers."""
  logger = logging.getLogger('nibabel.global')
  logger.disabled = True
  yield tmp_path_factory.mktemp('fuzz')
  logger.disabled = False


OPTIONS = {
  'deadline': None,
  'database': None,
  'suppress_health_check': list(HealthCheck),
}


@settings(max_examples=200, derandomize=True, **OPTIONS)
@given(**CASES)
def test_a_damaged_file_is_read_or_refused(folder, **case):
  check(folder, **case)


@pytest.mark.slow
@settings(max_examples=10_000, **OPTIONS)
@given(**CASES)
def test_ten_thousand_damaged_files_are_read_or_refused(folder, **case):
  check(folder, **case)


def test_the_fuzz_reads_whole_files(folder):
  # Else it would test refusals only.
  usual = {'one_size': None, 'changes': [], 'flips': [], 'header_only': True}
  usual |= {'cut': None, 'packed_flips': []}
  for which, steps in ((w, s) for w in range(len(FILES)) for s in range(len(STEPS))):
    for packed in ('', 'gz'):
      volume = check(folder, which=which, steps=steps, packed=packed, **usual)
      assert (volume is None) == (len(nib.load(folder / 'scan.nii').shape) == 4)
