"""Measures accuracy and time of the preprocessing on the sixty IXI heads.

  python -m benchmarks.preprocessing [--json=docs/preprocessing.json]

Skull stripping without a network against the automatic labels that come with the scans;
seconds and memory for one head at 1 mm on one core; minutes for all sixty heads.
"""

import argparse
import json
import multiprocessing
import pathlib
import resource
import tempfile
import time

import nibabel as nib
import numpy as np

from uad_jax.data.cohorts import layout
from uad_jax.data.preprocessing import (
  brainmask,
  grid,
  nifti,
  preprocess,
  presets,
  strip,
)
from uad_jax.data.workers import on_one_thread
from uad_jax.datasets import catalogue
from uad_jax.evaluation.bootstrap import mean_of

SOURCE = '../shared/data/ixi_t1_2mm'
LABELS = 'derivatives/*/sub-*/**/*_dseg.nii*'


def arguments() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.preprocessing')
  parser.add_argument('--source', default=SOURCE)
  parser.add_argument('--json', help='also store the numbers in this file')
  parser.add_argument('--subjects', type=int, default=0, help='all by default')
  return parser.parse_args()


def dice(a, b):
  """Dice overlap of two bool masks."""
  return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def stripping(entries) -> dict:
  """Measures the Dice of each brain mask with the closed and filled labels."""
  overlaps = {'Otsu': [], 'template': []}
  for entry in entries:
    native = nifti.read_image(entry.image)
    spacing = grid.spacing(native.affine)
    labels = nifti.read_labels(entry.labels, native)
    truth = brainmask.from_labels(labels, spacing)
    rough = brainmask.rough(native.data, spacing)
    overlaps['Otsu'].append(dice(rough, truth))
    found = strip.by_template(native.data, native.affine).mask
    overlaps['template'].append(dice(found, truth))
  return {
    way: {
      'mean': mean_of(values)._asdict(),
      'min': min(values),
      'subjects': len(values),
    }
    for way, values in overlaps.items()
  }


def whole_head(entry, folder) -> str:
  """Writes a head at 1 mm, resampled from one at 2 mm; returns the path."""
  native = nifti.read_image(entry.image)
  shape, affine = grid.respaced(native.data.shape, native.affine, (1.0, 1.0, 1.0))
  fine = grid.sample(native.data, np.linalg.inv(native.affine) @ affine, shape)
  path = str(pathlib.Path(folder) / 'IXI001-HH-1000-T1.nii.gz')
  nib.save(nib.Nifti1Image(fine, affine), path)
  return path


def one_volume(path, preset, queue) -> None:
  """Measures seconds and peak memory of preprocessing one scan, on one thread.

  Args:
    path: NIfTI file.
    preset: Name of the preset.
    queue: Receives the measurements; the function runs in a process of its own.
  """
  steps = presets.steps(preset, presets.Request())
  start = time.perf_counter()
  prepared = on_one_thread(lambda p: preprocess.prepare_scan(p, steps), path)
  seconds = time.perf_counter() - start
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  queue.put({'seconds': seconds, 'gib': peak, 'shape': prepared.native_shape})


def measured_apart(work, *given) -> dict:
  """Runs a function in a spawned process and returns what it puts into the queue."""
  context = multiprocessing.get_context('spawn')
  queue = context.Queue()
  process = context.Process(target=work, args=(*given, queue))
  process.start()
  result = queue.get()
  process.join()
  return result


def building(entries, folder) -> dict:
  """Measures the minutes that building a data set of all heads takes, two processes."""
  source = pathlib.Path(folder) / 'ixi/IXI-T1'
  source.mkdir(parents=True)
  for entry in entries:
    number = entry.subject.removeprefix('sub-IXI')
    link = source / f'IXI{number}-HH-1000-T1.nii.gz'
    link.symlink_to(pathlib.Path(entry.image).resolve())
  builder = catalogue.module('ixi').open_builder(
    pathlib.Path(folder) / 'data', source=source.parent, workers=2
  )
  start = time.perf_counter()
  builder.download_and_prepare()
  return {'minutes': (time.perf_counter() - start) / 60, 'subjects': len(entries)}


def main() -> None:
  """Command line: measures, prints the numbers and stores them."""
  options = arguments()
  entries = layout.find(options.source, layout.bids(labels=LABELS))
  entries = entries[: options.subjects or None]
  result = {'stripping': stripping(entries)}
  with tempfile.TemporaryDirectory() as folder:
    path = whole_head(entries[0], folder)
    result['volume'] = measured_apart(one_volume, path, presets.DEFAULT)
    result['building'] = building(entries, folder)
  print(json.dumps(result, indent=1))
  if options.json:
    pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
  main()
