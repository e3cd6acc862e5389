"""Functions that write the prediction for a 2-D image on its own pixel grid."""

import functools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image
from scipy import ndimage

from uad_jax.data.preprocessing import picture

MARGIN = 4
"""Pixels between the image and its overlay."""

OUTLINE = (34, 224, 255)
"""Colour of the outline of detected lesions, RGB."""


def writers(
  scan: pathlib.Path,
  volumes: Mapping[str, np.ndarray],
  threshold: float,
  channel: int | None,
) -> dict[str, Callable[[pathlib.Path], object]]:
  """Returns the functions that write the files of a prediction, by end of their name.

  Lesion masks are PNG files, 0 and 255; anomaly maps and the method's outputs are TIFF
  files of float32, which the evaluation programs of MVTec AD read.

  Args:
    scan: File of the picture.
    volumes: Volumes [W, H, 1] by kind: 'anomaly', 'lesion' and outputs of the method.
    threshold: Threshold of the anomaly map.
    channel: Index of the colour channel that was read; None for grey pictures.
  """
  rows = {kind: picture.from_volume(volume) for kind, volume in volumes.items()}
  lesion = rows.pop('lesion') > 0
  grey = picture.from_volume(np.asarray(picture.read(scan, channel).dataobj))
  shown = overlay(grey, rows['anomaly'], lesion, threshold)
  functions = {
    f'{kind}.tiff': functools.partial(_save, values.astype(np.float32))
    for kind, values in rows.items()
  }
  return functions | {
    'lesion.png': functools.partial(_save, (255 * lesion).astype(np.uint8)),
    'overlay.png': functools.partial(_save, shown),
  }


def overlay(
  grey: np.ndarray, anomaly: np.ndarray, lesion: np.ndarray, threshold: float
) -> np.ndarray:
  """Draws a picture beside its copy with the anomaly map and the detected lesions.

  Args:
    grey: Picture [H, W].
    anomaly: Anomaly map [H, W]; shown in orange from halfway between its median and the
      threshold on, less transparent for higher scores.
    lesion: Detection [H, W], bool, outlined.
    threshold: Threshold of the anomaly map.

  Returns:
    RGB uint8 [H, 2 W + MARGIN, 3].
  """
  low, high = np.percentile(grey, (1, 99.5))
  base = np.clip((grey - low) / max(high - low, 1e-12), 0, 1)[..., None]
  base = 255 * np.repeat(base, 3, -1)
  inside = anomaly[anomaly > anomaly.min()]
  usual = float(np.median(inside)) if inside.size else float(anomaly.min())
  start = (threshold + min(usual, threshold)) / 2
  top = max(float(np.percentile(anomaly, 99.9)), threshold + (threshold - start))
  strength = np.clip((anomaly - start) / max(top - start, 1e-12), 0, 1)[..., None]
  marked = base + 0.7 * strength * (np.array([255, 140, 0]) - base)
  marked[lesion & ~ndimage.binary_erosion(lesion)] = OUTLINE
  gap = np.zeros((len(grey), MARGIN, 3))
  return np.concatenate([base, gap, marked], 1).round().astype(np.uint8)


def _save(pixels: np.ndarray, path: pathlib.Path) -> None:
  """Writes a picture; the format follows the suffix of the path."""
  Image.fromarray(pixels).save(path)
