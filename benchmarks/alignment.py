"""Compares alignments to the template on healthy scans, and prints a table.

  python -m benchmarks.alignment [--source=FOLDER] [--json=FILE] [--subjects=N]

The scans are the IXI subset with DLMUSE labels. Overlap: Dice of the subject's brain
mask (from closed labels), aligned to the template, with the template's brain mask.
Ventricle distance: between the centre of the subject's lateral ventricles (labels 51
and 52) and the template's, which are the largest connected fluid above z = 6 mm (below,
cisterns touch them). The template is symmetric and subjects are not, so the distance
does not reach 0. Labels serve for these measures only; every alignment gets the same
brain mask. Intervals are from 2 000 resamples of subjects. Seconds are processor time,
summed over its cores, without reading and compiling.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import time

import nibabel as nib
import numpy as np
from scipy import ndimage

from uad_jax import parallel
from uad_jax.data.preprocessing import align, brainmask, grid, nifti
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps import STEPS
from uad_jax.data.simulation import anatomy
from uad_jax.evaluation.bootstrap import mean_of
from uad_jax.report import datasets

SOURCE = pathlib.Path('../shared/data/ixi_t1_2mm')
ANTS = 'ants (ANTsPy, mutual information)'
LATERAL = (51, 52)
ABOVE_CISTERNS = 6.0  # mm
COLUMNS = ('overlap', 'ventricle_mm', 'seconds')


def step(name, **parameters):
  """Makes a function that aligns a scan with a preprocessing step.

  Returns:
    scan -> affine [4, 4] from template to scan, world coordinates in mm.
  """
  return lambda scan: STEPS[name](scan, **parameters).to_scan


def centre_of_mass(scan):
  """Aligns the centres of the brain masks by a translation, from template to scan."""
  brain, _, to_mm = template()
  result = np.eye(4)
  result[:3, 3] = centre(scan.mask, scan.affine) - centre(brain, to_mm)
  return result


WAYS = {
  'centre of mass': centre_of_mass,
  'align (numpy, correlation)': step('align'),
  'affine (JAX, ncc)': step('affine', similarity='ncc'),
  'affine (JAX, mutual information)': step('affine'),
  ANTS: step('ants'),
}


def centre(mask, affine):
  """Centre of a mask in world coordinates, mm."""
  return nib.affines.apply_affine(affine, np.argwhere(mask)).mean(0)


@functools.cache
def template():
  """Returns the template's brain mask (2 mm), its ventricle centre, and its affine."""
  volume, _ = align.template()
  maps, affine = anatomy.anatomy(), anatomy.half_affine()
  fluid = anatomy.find_ventricles(maps.tissue[..., 0], maps.brain)
  fluid[..., : 1 + int((ABOVE_CISTERNS - affine[2, 3]) / affine[2, 2])] = False
  parts, _ = ndimage.label(fluid)
  largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
  brain = anatomy.halved(ndimage.binary_fill_holes(volume > 0.1))
  return brain, centre(largest, affine), affine


def read(folder: pathlib.Path, subject: str) -> ScanState:
  """Reads a subject's image and labels, with the brain mask that the labels give."""
  image = nifti.read_image(next((folder / subject).rglob('*_T1w.nii.gz')))
  path = next((folder / 'derivatives/dlmuse' / subject).rglob('*_dseg.nii.gz'))
  labels = nifti.read_labels(path, image)
  mask = brainmask.from_labels(labels, grid.spacing(image.affine))
  return ScanState(
    image=image.data,
    twin=None,
    mask=mask,
    labels=labels,
    lesion=None,
    affine=image.affine,
    to_scan=np.eye(4),
    aligned=None,
    slices=(),
    measured={},
    name=subject,
  )


def judge(scan: ScanState, to_scan: np.ndarray) -> dict[str, float]:
  """Measures an alignment: 'overlap' and 'ventricle_mm'.

  Args:
    scan: The scan with its labels.
    to_scan: [4, 4] affine from template to scan, world coordinates in mm.
  """
  brain, ventricles, affine = template()
  to_voxel = np.linalg.inv(scan.affine) @ to_scan @ affine
  placed = grid.sample_mask(scan.mask, to_voxel, brain.shape)
  to_template = np.linalg.inv(to_scan) @ scan.affine
  lateral = centre(np.isin(scan.labels, LATERAL), to_template)
  return {
    'overlap': float(2 * (placed & brain).sum() / (placed.sum() + brain.sum())),
    'ventricle_mm': float(np.linalg.norm(lateral - ventricles)),
  }


def compare(source: pathlib.Path, subjects: list[str]) -> dict:
  """Runs every alignment on every subject.

  Returns:
    A list with one value per subject, by alignment and by name in COLUMNS.
  """
  first = read(source, subjects[0])
  for way in WAYS.values():
    way(first)
  every = {name: {column: [] for column in COLUMNS} for name in WAYS}
  for subject in subjects:
    scan = read(source, subject)
    for name, way in WAYS.items():
      # Of the processor, for the machine is seldom quiet.
      start = time.process_time()
      to_scan = way(scan)
      found = {'seconds': time.process_time() - start} | judge(scan, to_scan)
      for column in COLUMNS:
        every[name][column].append(round(found[column], 4))
      print(subject, name, found, file=sys.stderr)
  return every


def summarised(subjects: list[str], every: dict) -> dict:
  """Summarises the measurements as the content of docs/alignment.json."""
  packages = ['jax', 'optax', 'numpy', 'scipy', 'nilearn']
  packages += ['antspyx'] * (ANTS in every)
  about = {p: importlib.metadata.version(p) for p in packages}
  return {
    'about': about | {'cores': parallel.usable_cores()},
    'ways': {
      name: {column: mean_of(values)._asdict() for column, values in found.items()}
      for name, found in every.items()
    },
    'subjects': subjects,
    'every': every,
  }


def main() -> None:
  """Command line: compares the alignments, prints the table and stores the numbers."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.alignment')
  parser.add_argument('--source', type=pathlib.Path, default=SOURCE)
  parser.add_argument('--json', help='also store the numbers in this file')
  parser.add_argument('--subjects', type=int, help='the first N only')
  options = parser.parse_args()
  if importlib.util.find_spec('ants') is None:
    del WAYS[ANTS]
    print('ANTsPy is not installed and is left out', file=sys.stderr)
  found = (options.source / 'derivatives/dlmuse').glob('sub-*')
  subjects = sorted(path.name for path in found)[: options.subjects]
  stored = summarised(subjects, compare(options.source, subjects))
  print(datasets.alignment(stored))
  if options.json:
    with open(options.json, 'w') as file:
      json.dump(stored, file, indent=1)


if __name__ == '__main__':
  main()
