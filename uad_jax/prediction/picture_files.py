"""Functions that write the prediction for a 2-D image on its own pixel grid."""

import functools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, PngImagePlugin
from scipy import ndimage

from uad_jax.data.preprocessing import picture
from uad_jax.prediction import sidecar

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
  """Returns one function for each file of a 2-D prediction, which writes this file.

  Lesion masks are PNG files with values 0 and 255. Anomaly maps and other outputs of
  the method are float32 TIFF files, as the evaluation programs of MVTec AD expect.

  Args:
    scan: File of the picture.
    volumes: Volumes [W, H, 1] by name: 'anomaly', 'lesion' and outputs of the method.
    threshold: Lowest anomaly score of a lesion pixel.
    channel: Index of the colour channel that was read; None for grey pictures.

  Returns:
    Functions by the last part of the file name, such as 'lesion.png'.
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
  """Draws a picture twice: plain, and with its anomaly map and detected lesions.

  Anomaly scores are drawn in orange, more opaque for higher scores, starting halfway
  between the median score and the threshold. Lesions are outlined.

  Args:
    grey: Picture [H, W].
    anomaly: Anomaly map [H, W].
    lesion: Lesion mask, bool [H, W].
    threshold: Lowest anomaly score of a lesion pixel.

  Returns:
    Both pictures side by side, RGB uint8 [H, 2 W + MARGIN, 3].
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
  """Writes a picture with `sidecar.MARK`; the format follows the suffix of the path."""
  text = PngImagePlugin.PngInfo()
  text.add_text(sidecar.MARK_KEY, sidecar.MARK)
  Image.fromarray(pixels).save(path, pnginfo=text, description=sidecar.MARK)
