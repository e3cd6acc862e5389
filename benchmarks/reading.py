"""Measures how fast training slices are read, from stored slices and stored volumes.

  python -m benchmarks.reading [--json=docs/reading.json]

It builds both kinds of data set from the same synthetic volumes in a temporary folder.
Measured are slices of 128 x 128 per second, the median of several rounds: read in
random order from disk and from memory, read by the training stream, and used by a
training step.
"""

import argparse
import dataclasses
import json
import pathlib
import platform
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds

from benchmarks.training_step import training_step
from uad_jax import parallel
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.data import pipeline, reading, record

SIZE, DEPTH = 128, 60
BATCH = 16
TARGET = 20_000
"""Slices a second that accelerators of one host with 16 cores may ask for."""


def arguments() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.reading')
  parser.add_argument('--json', help='also store the numbers in this file')
  parser.add_argument('--volumes', type=int, default=25)
  parser.add_argument('--rounds', type=int, default=5)
  return parser.parse_args()


@dataclasses.dataclass(kw_only=True)
class Stored(tfds.core.BuilderConfig):
  """Form of the data set: records are volumes or slices, and the number of volumes."""

  whole: bool
  volumes: int


class Synthetic(tfds.core.GeneratorBasedBuilder):
  """Data set of noise inside an ellipsoid, which compresses as badly as a scan."""

  VERSION = tfds.core.Version('1.0.0')
  SHAPE = (SIZE, SIZE, DEPTH)

  def _info(self):
    shape = self.SHAPE if self.builder_config.whole else self.SHAPE[:2]
    features = record.features(shape)
    return tfds.core.DatasetInfo(
      builder=self, features=features, disable_shuffling=True
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    axes = [np.linspace(-1, 1, n) for n in self.SHAPE]
    x, y, z = np.meshgrid(*axes, indexing='ij')
    mask = ((x / 0.7) ** 2 + (y / 0.85) ** 2 + (z / 1.2) ** 2 < 1)[..., None]
    texts = dict.fromkeys(('session', 'domain', 'pathology', 'details'), '')
    for number in range(self.builder_config.volumes):
      drawn = np.random.default_rng(number).uniform(size=mask.shape)
      image = drawn.astype('float32') * mask
      arrays = {'image': image, 'mask': mask.astype('uint8'), 'twin': image * 0}
      arrays |= {'lesion': arrays['mask'] * 0, 'labels': arrays['mask'] * 2}
      told = {'subject': f's{number}', 'age': 50.0, 'affine': np.eye(4)} | texts
      if self.builder_config.whole:
        yield number, arrays | told | {'slice': -1, 'position': 0.5}
        continue
      for index in range(DEPTH):
        cut = {n: np.ascontiguousarray(a[:, :, index]) for n, a in arrays.items()}
        height = {'slice': index, 'position': record.slice_height(index, DEPTH)}
        yield number * DEPTH + index, cut | told | height


def build(folder: pathlib.Path, volumes: int, whole: bool) -> Synthetic:
  """Builds the data set, of whole volumes or of slices."""
  kind = 'volumes' if whole else 'slices'
  config = Stored(name=kind, whole=whole, volumes=volumes)
  builder = Synthetic(config=config, data_dir=folder, file_format='array_record')
  builder.download_and_prepare()
  return builder


def rate(function: Callable[[], int], rounds: int) -> dict[str, float]:
  """Measures the slices per second that a function reads, the median of the rounds.

  The seconds of a core count all threads of this process and no other process.

  Args:
    function: Reads slices and returns their number.
    rounds: Number of calls.
  """
  found, cores = [], []
  for _ in range(rounds):
    start, used = time.perf_counter(), time.process_time()
    slices = function()
    found.append(slices / (time.perf_counter() - start))
    cores.append(slices / (time.process_time() - used))
  return {
    'per_second': statistics.median(found),
    'per_core_second': statistics.median(cores),
  }


def random_order(read: Callable[[np.ndarray], object], length: int, batches: int):
  """Makes a function that reads batches of random slices, new ones at each call.

  Args:
    read: Reads the slices of an array of indices.
    length: Number of slices in the data set.
    batches: Number of batches for each call.
  """
  rng = np.random.default_rng(0)

  def some() -> int:
    for _ in range(batches):
      read(rng.integers(length, size=BATCH))
    return batches * BATCH

  return some


def from_memory(records: reading.Records, threads: int, batches: int = 200):
  """Makes a function that takes batches of the training stream, records in memory."""
  stream = pipeline.training_stream(records, BATCH, 0, threads=threads)
  for _ in range(-(-len(records) // BATCH)):
    next(stream)

  def some() -> int:
    for _ in range(batches):
      next(stream)
    return batches * BATCH

  return some


def from_disk(records: reading.Records, threads: int):
  """Makes a function that streams one epoch and reads every record from disk."""

  def epoch() -> int:
    stream = pipeline.training_stream(records, BATCH, 0, threads=threads)
    batches = len(records) // BATCH
    for _ in range(batches):
      next(stream)
    return batches * BATCH

  return epoch


def updates(steps: int = 5):
  """Makes a function that performs updates of `ae`, the smallest network."""
  some = training_step(read_config('ae', 'slices'), (SIZE, SIZE), BATCH, steps)
  some()  # compiles

  def images() -> int:
    some()
    return steps * BATCH

  return images


def measure(folder: pathlib.Path, volumes: int, rounds: int) -> dict[str, dict]:
  """Runs all measurements; returns slices per second by name."""
  slices, whole = (
    reading.stored(build(folder, volumes, kind), 'train') for kind in (False, True)
  )
  length = volumes * DEPTH
  kept = pipeline.Examples(slices)
  kept.load(np.arange(length))
  solid = [whole.example(index) for index in range(volumes)]

  def cut(volume, index):
    return {n: a[:, :, index % DEPTH] for n, a in volume.items() if a.ndim}

  def stack(slices):
    return {n: np.stack([one[n] for one in slices]) for n in ('image', 'mask')}

  reads = {
    'stored slices, from disk': (
      lambda batch: stack([slices.example(i) for i in batch.tolist()]),
      20,
    ),
    'stored slices, from memory': (lambda batch: kept.gather((batch, {})), 200),
    'cut from stored volumes, from disk': (
      lambda batch: stack([cut(whole.example(i // DEPTH), i) for i in batch.tolist()]),
      1,
    ),
    'cut from volumes in memory': (
      lambda batch: stack([cut(solid[i // DEPTH], i) for i in batch.tolist()]),
      20,
    ),
  }
  found = {
    name: rate(random_order(read, length, batches), rounds)
    for name, (read, batches) in reads.items()
  }
  for threads in (1, 2):
    for kind in (from_disk, from_memory):
      name = f'training stream, {kind.__name__.replace("_", " ")}, {threads} threads'
      found[name] = rate(kind(slices, threads), rounds)
  found['training step of ae'] = rate(updates(), rounds)
  return found


def main() -> None:
  """Command line: measures, prints the rates and stores them."""
  options = arguments()
  parallel.split_cpu()
  parallel.keep_memory()
  with tempfile.TemporaryDirectory() as folder:
    found = measure(pathlib.Path(folder), options.volumes, options.rounds)
  for name, rates in found.items():
    wall, core = rates['per_second'], rates['per_core_second']
    print(f'{name:42} {wall:8.0f} slices/s {core:8.0f} a second of a core')
  stream = found['training stream, from memory, 1 threads']
  step = found['training step of ae']
  ratio = stream['per_second'] / step['per_second']
  print(f'the stream gives {ratio:.0f} times what the step takes; 5 are asked for')
  # One core serves the stream: Python's lock keeps more threads from doing better.
  share = stream['per_core_second'] / TARGET
  print(f'a core gives {share:.2f} of the {TARGET} slices/s that 16 cores should')
  if options.json:
    about = {'machine': platform.machine(), 'cores': parallel.usable_cores()}
    about |= {'slice': [SIZE, SIZE], 'batch': BATCH, 'target': TARGET}
    stored = {'about': about, 'slices': found, 'stream_to_step': ratio}
    pathlib.Path(options.json).write_text(json.dumps(stored, indent=2) + '\n')


if __name__ == '__main__':
  main()
