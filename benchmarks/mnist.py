"""One-class MNIST, from files that the user has. Writes docs/mnist.md.

  python -m benchmarks.mnist --data=PATH [--rows=knn,lsa] [--seeds=0,1,2] [--render]

PATH is the archive mnist.npz of Keras, or a folder with the four published files, such
as train-images-idx3-ubyte, as they are or compressed (.gz); torchvision keeps them in
MNIST/raw. Nothing is downloaded.

The rows are those of `benchmarks.digits`, and so is the score. Protocol of Ruff et al.
2018: the training images of one digit are the normal class, and all 10 000 test images
are tested. A method trains `TIMES` times as long as on the small digits; a detector is
fitted on `MOST` images of the digit, a random choice, as the kernel methods do not hold
all. Results are kept in docs/mnist.json; none is computed twice.
"""

import argparse
import functools
import gzip
import math
import pathlib
import struct
import zipfile
from typing import NamedTuple

import numpy as np

from benchmarks import digits
from benchmarks.kept_results import command
from uad_jax.detectors.catalogue import DETECTORS

TIMES = 5
MOST = 5000

INTRODUCTION = """# One-class MNIST

Written by `python -m benchmarks.mnist --data=PATH` from docs/mnist.json; the protocol
stands in the module. AUROC of the other digits, mean over digits and seeds, with the
range of the ten digits."""


class Mnist(NamedTuple):
  """Images [N, H, W] of 8 bits and their digits [N], for training and for the test."""

  train_images: np.ndarray
  train_digits: np.ndarray
  test_images: np.ndarray
  test_digits: np.ndarray


def read(path: str | pathlib.Path) -> Mnist:
  """Reads the archive of Keras or the published files.

  Raises:
    ValueError: A file is missing or holds something else.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    arrays = [
      read_idx(path / f'{part}-{kind}-ubyte')
      for part in ('train', 't10k')
      for kind in ('images-idx3', 'labels-idx1')
    ]
  else:
    try:
      with np.load(path) as archive:
        arrays = [archive[name] for name in ('x_train', 'y_train', 'x_test', 'y_test')]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
      raise ValueError(
        f'{path} is no archive with x_train, y_train, x_test and y_test: {error}'
      ) from None
  data = Mnist(*arrays)
  for images, targets in (data[:2], data[2:]):
    if images.ndim != 3 or targets.shape != images.shape[:1]:
      raise ValueError(
        f'{path}: images of shape {images.shape} with digits of shape {targets.shape}; '
        'allowed are [N, H, W] with [N]'
      )
  return data


def read_idx(path: pathlib.Path) -> np.ndarray:
  """Reads an array of bytes in the format IDX, compressed if only PATH.gz exists.

  Raises:
    ValueError: There is no such file, or it holds something else.
  """
  packed = path.with_name(path.name + '.gz')
  try:
    data = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
  except (OSError, EOFError) as error:
    raise ValueError(f'{path}, or {packed.name}: {error}') from None
  axes = data[3] if data[:3] == b'\0\0\x08' and len(data) > 3 else 0
  header = 4 + 4 * axes
  shape = struct.unpack_from(f'>{axes}I', data, 4) if 4 < header <= len(data) else ()
  if not shape or len(data) != header + math.prod(shape):
    raise ValueError(f'{path} is no whole IDX file of bytes')
  return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


@functools.cache
def intensities(path: str) -> Mnist:
  """Reads MNIST with images [N, H, W, 1] in [0, 1]."""
  data = read(path)
  train, test = (
    np.float32(x[..., None]) / 255 for x in (data.train_images, data.test_images)
  )
  return Mnist(train, data.train_digits, test, data.test_digits)


def split(path: str, most: int | None, digit: int, seed: int) -> digits.Split:
  """Returns the images of a task, see the module docstring.

  Args:
    path: Of the data.
    most: Largest number of training images; None for all.
    digit: The normal class.
    seed: Seed of the choice of training images.
  """
  data = intensities(path)
  rows = np.flatnonzero(data.train_digits == digit)
  rows = np.random.default_rng(seed).permutation(rows)[:most]
  other = data.test_digits != digit
  return digits.Split(data.train_images[rows], data.test_images, other)


def measure(name: str, seed: int, data: str | None) -> list[float]:
  """Computes the AUROC of a row on each of the ten digits of the files `data`."""
  if data is None:
    raise SystemExit('mnist: --data is missing; it is mnist.npz or a folder of files')
  try:
    intensities(data)
  except ValueError as error:
    raise SystemExit(f'mnist: {error}') from None
  images = functools.partial(split, data, MOST if name in DETECTORS else None)
  return digits.measure(name, seed, images, TIMES)


def main() -> None:
  options = argparse.ArgumentParser(add_help=False)
  options.add_argument('--data', help='mnist.npz, or a folder with the four files')
  page = functools.partial(digits.page, introduction=INTRODUCTION)
  command('mnist', digits.ROWS, measure, page, options)


if __name__ == '__main__':
  main()
