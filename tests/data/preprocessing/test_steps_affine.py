import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from tests.data.heads import TO_SCAN, head, worst
from uad_jax.data.preprocessing import brainmask, grid, preprocess
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps import STEPS


@pytest.fixture(scope='module')
def scan():
  image, labels, affine = head()
  return ScanState(
    image=image,
    twin=None,
    mask=brainmask.from_labels(labels, grid.spacing(affine)),
    labels=labels,
    lesion=None,
    affine=affine,
    to_scan=np.eye(4),
    aligned=None,
    slices=(),
    measured={},
    name='a head',
  )


def check_placed(scan, placed):
  """The scan's arrays are as they were; its matrices lead to the same place."""
  for before, after in zip(scan[:5], placed[:5], strict=True):
    assert before is after
  assert placed.aligned
  np.testing.assert_allclose(placed.to_scan @ placed.affine, scan.affine, atol=1e-9)
  np.testing.assert_array_equal(placed.measured['to_scan'], placed.to_scan)


@pytest.mark.slow
def test_affine_finds_the_head(scan, optimised):
  # Oracle: the head was made by TO_SCAN.
  placed = STEPS['affine'](scan, similarity='ncc')
  assert worst(placed.to_scan, TO_SCAN) < 1.2
  assert placed.measured['ncc'] > 0.98
  check_placed(scan, placed)


@pytest.mark.parametrize('similarity, times', [('mutual_information', 2), ('ncc', 1)])
def test_ants_finds_the_head_again_and_again(scan, similarity, times):
  # A wrong direction or handedness would be off by centimetres.
  pytest.importorskip('ants')
  placed = [STEPS['ants'](scan, similarity=similarity) for _ in range(times)]
  assert worst(placed[0].to_scan, TO_SCAN) < 1.5
  assert placed[0].measured['antspyx'] and placed[0].measured[similarity] > 0.5
  assert 'ANTS_RANDOM_SEED' not in os.environ
  check_placed(scan, placed[0])
  np.testing.assert_array_equal(placed[0].to_scan, placed[-1].to_scan)


def test_ants_says_what_is_missing(scan, monkeypatch):
  monkeypatch.setitem(sys.modules, 'ants', None)
  with pytest.raises(ModuleNotFoundError, match=r'pip install uad_jax\[ants\]'):
    STEPS['ants'](scan)


@pytest.mark.parametrize(
  'name, options, says',
  [
    ('ants', {'degrees': 9}, r'degrees=9; allowed are \[6, 12\]'),
    ('ants', {'similarity': 'mi'}, "similarity='mi'; allowed are"),
    ('affine', {'similarity': 'mi'}, "similarity='mi'; allowed are"),
    ('affine', {'degrees': 7}, 'degrees=7; allowed are'),
  ],
)
def test_wrong_parameters_get_a_sentence(scan, name, options, says):
  with pytest.raises(ValueError, match=says):
    STEPS[name](scan, **options)
  with pytest.raises(ValueError, match=f"'{name}' needs the brain"):
    STEPS[name](scan._replace(mask=None))


@pytest.mark.slow
@pytest.mark.parametrize(
  'name, similarity', [('align', 'correlation'), ('affine', 'ncc')]
)
def test_a_poor_agreement_is_warned_of(scan, name, similarity, optimised):
  options = {'similarity': 'ncc'} if name == 'affine' else {}
  says = rf'a head agrees with the template by .* \({similarity}\) only'
  with pytest.warns(UserWarning, match=says):
    STEPS[name](scan, least=1.0, **options)


def test_the_step_takes_the_place_of_align(scan, optimised):
  steps = [
    (n, p) if n != 'align' else ('affine', {'similarity': 'ncc'})
    for n, p in preprocess.job((32, 32), 6.0)
  ]
  prepared = preprocess.prepare_scan(
    nib.Nifti1Image(scan.image, scan.affine),
    steps,
    labels=nib.Nifti1Image(scan.labels, scan.affine),
  )
  assert worst(prepared.to_scan, TO_SCAN) < 1.5
  assert prepared.chain[5]['step'] == 'affine' and 'ncc' in prepared.chain[5]


def test_the_steps_load_without_jax():
  code = 'import sys, uad_jax.data.preprocessing.steps; sys.exit("jax" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0
