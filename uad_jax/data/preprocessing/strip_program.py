"""Function that computes brain masks by the external programs HD-BET and SynthStrip."""

import importlib.metadata
import pathlib
import shutil
import subprocess
import tempfile
from typing import NamedTuple

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing.nifti import BadScan


class Program(NamedTuple):
  """Command line of an external program that writes a brain mask.

  Attributes:
    names: Names of the executable, tried in this order.
    arguments: Arguments with the fields {input}, {output} and {mask}. They select one
      CPU and no averaging over random flips, so that the mask is reproducible.
    package: Python package whose version is recorded.
    extra: Optional dependency of `uad_jax` that installs the program.
  """

  names: tuple[str, ...]
  arguments: tuple[str, ...]
  package: str
  extra: str


PROGRAMS = {
  # Isensee et al., Human Brain Mapping 40, 2019.
  'hd_bet': Program(
    ('hd-bet',),
    (
      '-i={input}', '-o={output}', '-device=cpu', '--disable_tta', '--save_bet_mask',
      '--no_bet_image',
    ),
    'HD-BET',
    'hd_bet',
  ),
  # Hoopes et al., NeuroImage 260, 2022.
  'synthstrip': Program(
    ('mri_synthstrip', 'nipreps-synthstrip'),
    ('-i={input}', '-m={mask}'),
    'nipreps-synthstrip',
    'synthstrip',
  ),
}  # fmt: skip
"""The programs by the value of `how` in the step 'brain_mask'."""


def run(how: str, image: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, str]:
  """Runs HD-BET or SynthStrip on a scan and reads the brain mask that it writes.

  Args:
    how: Key of `PROGRAMS`.
    image: Scan [X, Y, Z].
    affine: 4x4 from voxel to mm.

  Returns:
    Brain mask [X, Y, Z], bool, and the program's version ('unknown' if not known).

  Raises:
    ModuleNotFoundError: The program is not installed.
    BadScan: The program failed or wrote no mask.
  """
  program = PROGRAMS[how]
  executable = next(filter(None, map(shutil.which, program.names)), None)
  if executable is None:
    raise ModuleNotFoundError(
      f"how='{how}' needs the program {' or '.join(program.names)}; install it by "
      f'`pip install uad_jax[{program.extra}]`'
    )
  with tempfile.TemporaryDirectory() as folder:
    scan = pathlib.Path(folder) / 'scan.nii.gz'
    nib.save(nib.Nifti1Image(image, affine), scan)
    output = pathlib.Path(folder) / 'output'
    output.mkdir()
    paths = {'input': scan, 'output': output / 'scan.nii.gz'}
    paths['mask'] = output / 'mask.nii'
    words = [
      word.format(**paths)
      for argument in program.arguments
      for word in argument.split('=')
    ]
    process = subprocess.run([executable, *words], capture_output=True, text=True)
    masks = sorted(output.glob('*.nii*'))
    if process.returncode or not masks:
      lines = (process.stderr or process.stdout).strip().splitlines()
      message = lines[-1] if lines else 'no message'
      raise BadScan(f'{program.names[0]} found no brain: {message}')
    mask = np.asarray(nib.load(masks[0]).dataobj) > 0.5
  try:
    version = importlib.metadata.version(program.package)
  except importlib.metadata.PackageNotFoundError:
    version = 'unknown'
  return mask, version
