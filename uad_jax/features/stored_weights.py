r"""Weights of networks that the user has: reading, and conversion of a checkpoint.

  python -m uad_jax.features.stored_weights --checkpoint=resnet50.pth \
    --output=resnet50.npz

converts a state dictionary that torchvision's models are stored as; torch is not
needed. The .npz file holds the arrays by their names in torchvision, in its layout
(kernels [W, C, k, k]). Nothing is downloaded.
"""

import argparse
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from uad_jax.features import torch_checkpoint

PHOTOGRAPHS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of the three colours with which torchvision's weights were trained
(ImageNet), for intensities in [0, 1]."""


def read(
  path: str, names: Sequence[str], network: str, where: str
) -> dict[str, np.ndarray]:
  """Reads the arrays of a network from a .npz file.

  Args:
    path: The file.
    names: Names of the arrays that are needed.
    network: Name of the network, for error messages.
    where: Name of the method, for error messages.

  Raises:
    ValueError: There is no such file, it is no .npz file, or arrays are missing.
  """
  if not path:
    raise ValueError(
      f"{where}: network '{network}' needs weights, a .npz file; it is made of a "
      'checkpoint by python -m uad_jax.features.stored_weights'
    )
  if pathlib.Path(path).is_file() and not zipfile.is_zipfile(path):
    raise ValueError(f'{where}: {path} is no .npz file')
  try:
    with np.load(path, allow_pickle=False) as stored:
      missing = [name for name in names if name not in stored]
      if missing:
        raise ValueError(
          f"{where}: {path} holds no '{missing[0]}', so it is of another network than "
          f'{network}; it holds {", ".join(sorted(stored)[:3])}, ...'
        )
      return {name: np.asarray(stored[name], np.float32) for name in names}
  except FileNotFoundError:
    raise ValueError(f'{where}: there is no file {path} (weights)') from None
  except (zipfile.BadZipFile, OSError, EOFError) as error:
    raise ValueError(f'{where}: {path} is no .npz file: {error}') from None


def convert(checkpoint: str, output: str) -> int:
  """Writes the floating-point arrays of a checkpoint to a .npz file.

  Returns:
    Number of arrays.

  Raises:
    ValueError: The checkpoint cannot be read, or holds no such arrays.
  """
  arrays = {
    name: array
    for name, array in torch_checkpoint.read(checkpoint).items()
    if np.issubdtype(array.dtype, np.floating)
  }
  if not arrays:
    raise ValueError(f'{checkpoint} holds no arrays of floating-point numbers')
  target = pathlib.Path(output)
  partial = target.with_name(f'{target.name}.part')
  with open(partial, 'wb') as file:
    np.savez(file, **arrays)
  partial.replace(target)
  return len(arrays)


def main() -> None:
  """Runs the conversion.

  Raises:
    SystemExit: The checkpoint cannot be converted.
  """
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--checkpoint', required=True, help='file of a state dictionary')
  parser.add_argument('--output', required=True, help='.npz file to write')
  arguments = parser.parse_args()
  try:
    number = convert(arguments.checkpoint, arguments.output)
  except (ValueError, OSError) as error:
    raise SystemExit(f'stored_weights: {error}') from None
  print(f'{arguments.output}: {number} arrays')


if __name__ == '__main__':
  main()
