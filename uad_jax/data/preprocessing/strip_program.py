"""Skull stripping by programs of others, HD-BET and SynthStrip, where installed."""

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
  """A command line that writes a brain mask.

  Attributes:
    names: Of the executable, in the order of trial.
    arguments: With {input}, {output} and {mask} to be filled in; on one CPU, without
      averaging over random flips, so that it gives the same mask each time.
    package: Whose version is told.
    extra: What to install.
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


def run(how: str, image: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, str]:
  """The brain mask by one of `PROGRAMS`, and the program's version."""
  program = PROGRAMS[how]
  found = next(filter(None, map(shutil.which, program.names)), None)
  if found is None:
    raise ModuleNotFoundError(
      f"how='{how}' needs the program {' or '.join(program.names)}; install it by "
      f'`pip install uad_jax[{program.extra}]`'
    )
  with tempfile.TemporaryDirectory() as folder:
    given = pathlib.Path(folder) / 'scan.nii.gz'
    nib.save(nib.Nifti1Image(image, affine), given)
    made = pathlib.Path(folder) / 'made'
    made.mkdir()
    places = {'input': given, 'output': made / 'scan.nii.gz', 'mask': made / 'mask.nii'}
    words = [w.format(**places) for each in program.arguments for w in each.split('=')]
    done = subprocess.run([found, *words], capture_output=True, text=True)
    masks = sorted(made.glob('*.nii*'))
    if done.returncode or not masks:
      last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ['no message']
      raise BadScan(f'{program.names[0]} found no brain: {last[0]}')
    mask = np.asarray(nib.load(masks[0]).dataobj) > 0.5
  try:
    version = importlib.metadata.version(program.package)
  except importlib.metadata.PackageNotFoundError:
    version = 'unknown'
  return mask, version
