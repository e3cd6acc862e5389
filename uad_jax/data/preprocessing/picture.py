"""Functions that read 2-D images (PNG, JPEG, TIFF, NPY) as volumes of one slice.

A picture with H rows and W columns becomes the volume [W, H, 1]: x runs along a row and
y from the last row to the first. Displayed with the front of the head on top and the
patient's left on the left, it is a slice in RAS orientation, as in all other data.
"""

import json
import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, UnidentifiedImageError

from uad_jax.data.preprocessing import nifti_voxels
from uad_jax.data.preprocessing.nifti import BadScan, Picture

SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.npy')
"""Suffixes of readable pictures, in lower case."""

MOST_PIXELS = 100_000_000
"""Largest number of pixels of a picture that is read."""

DISPLAY_DPI = (72, 96, 100, 120, 144, 150, 200, 240, 300, 400, 600, 1200)
"""Resolutions that image programs write by default; they say nothing of the anatomy."""

MM_PER_INCH = 25.4


def is_picture(path: str | os.PathLike) -> bool:
  """Returns whether the suffix of a file is that of a picture."""
  return os.fspath(path).lower().endswith(SUFFIXES)


def sidecar_of(path: str | os.PathLike) -> str:
  """Returns the path of the JSON file that may state the pixel size of a picture."""
  return os.fspath(pathlib.Path(path).with_suffix('.json'))


def read(path: str | os.PathLike, channel: int | None = None) -> Picture:
  """Reads a grey picture, or one channel of a colour picture, as a volume of one slice.

  Colours whose channels are equal count as grey. The pixel size in mm stands in the
  affine: from 'spacing_mm' in the file NAME.json beside the picture, else from the
  resolution in the file's header unless that is one of `DISPLAY_DPI`, else 1 mm. The
  step 'picture' can replace it.

  Args:
    path: File with one of `SUFFIXES`.
    channel: Index of the colour channel to read; None for grey pictures.

  Returns:
    Picture of shape [W, H, 1], values as stored (8 or 16 bit, or float).

  Raises:
    BadScan: The file cannot be read, has no such channel, or has colours and no channel
      is chosen.
  """
  pixels, spacing = _decode(path)
  if pixels.ndim == 3 and channel is None:
    if (pixels != pixels[..., :1]).any():
      raise BadScan(
        f'{path} has {pixels.shape[2]} colour channels that differ; allowed is a grey '
        'picture, or a channel: --config.data.job.channel=0'
      )
    pixels = pixels[..., 0]
  elif pixels.ndim == 3:
    if not 0 <= channel < pixels.shape[2]:
      raise BadScan(
        f'{path} has {pixels.shape[2]} channels and channel {channel} was asked for; '
        f'allowed are 0 to {pixels.shape[2] - 1}'
      )
    pixels = pixels[..., channel]
  return _volume(path, pixels, stated_spacing(path) or spacing)


def read_mask(path: str | os.PathLike, like: Picture) -> Picture:
  """Reads the mask of a picture; all pixels that are not black belong to the mask.

  Args:
    path: File with one of `SUFFIXES`.
    like: The picture that the mask belongs to, for the pixel size.

  Raises:
    BadScan: The file cannot be read.
  """
  pixels, _ = _decode(path)
  if pixels.ndim == 3:
    pixels = pixels.max(-1)
  mask = _volume(path, pixels, (1.0, 1.0))
  return Picture(mask.dataobj, like.affine, path)


def opened(image, mask, labels, lesion, twin, channel: int | None) -> tuple:
  """Reads a 2-D image and the images that belong to it as volumes of one slice.

  Args:
    image: File of the picture. `mask`, `labels`, `lesion` and `twin` are files on the
      same pixel grid, or None.
    mask: Brain mask.
    labels: Grey picture of anatomical labels.
    lesion: Lesion mask.
    twin: Lesion-free twin of the picture.
    channel: Index of the colour channel to read; None for grey pictures.

  Returns:
    Image, mask, labels, lesion and twin, each a `nifti.Picture` or None.

  Raises:
    BadScan: A file is not a picture that can be read.
  """
  image = read(image, channel)

  def on_same_grid(other: Picture | None) -> Picture | None:
    if other is None:
      return None
    return Picture(np.asarray(other.dataobj), image.affine, other.path)

  return (
    image,
    None if mask is None else read_mask(mask, image),
    on_same_grid(None if labels is None else read(labels)),
    None if lesion is None else read_mask(lesion, image),
    on_same_grid(None if twin is None else read(twin, channel)),
  )


def from_volume(volume: np.ndarray) -> np.ndarray:
  """Turns a volume of one slice, [W, H, 1], into the rows of a picture, [H, W]."""
  return np.ascontiguousarray(volume[:, ::-1, 0].T)


def _volume(path, pixels: np.ndarray, spacing: Sequence[float]) -> Picture:
  """The volume [W, H, 1] of the rows [H, W], with the pixel size (x, y) in mm."""
  if fault := nifti_voxels.range_fault(pixels):
    raise BadScan(f'{path} has {fault}')
  if pixels.dtype not in (np.uint8, np.uint16):
    pixels = pixels.astype(np.float32)
  volume = np.ascontiguousarray(pixels.T[:, ::-1, None])
  return Picture(volume, np.diag([*spacing, 1.0, 1.0]), path)


def _decode(path) -> tuple[np.ndarray, tuple[float, float]]:
  """Pixels [H, W] or [H, W, C] of a file, and the pixel size (x, y) in mm."""
  name = os.fspath(path)
  if not os.path.isfile(name) or not is_picture(name):
    raise BadScan(
      f'{name} is not a picture; allowed are files ending in {", ".join(SUFFIXES)}'
    )
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # of Pillow, about pictures that it reads
      pixels, spacing = (_array if name.lower().endswith('.npy') else _image)(name)
  except BadScan:
    raise
  except (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    EOFError,
    OSError,
    SyntaxError,
    ValueError,
  ) as error:
    raise BadScan(
      f'{name} cannot be read as a picture, it is truncated or of another format; '
      'allowed is a complete file'
    ) from error
  if pixels.dtype.kind not in 'uifb':
    raise BadScan(f'{name} holds {pixels.dtype} values; allowed are real numbers')
  if pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 2:
    raise BadScan(
      f'{name} has shape {pixels.shape}; allowed is [rows, columns] or [rows, columns, '
      'channels] with 2 rows and columns or more'
    )
  return pixels, spacing


def _array(name: str) -> tuple[np.ndarray, tuple[float, float]]:
  pixels = np.load(name, mmap_mode='r', allow_pickle=False)
  _check_size(name, pixels.shape[:2])
  return np.array(pixels), (1.0, 1.0)


def _image(name: str) -> tuple[np.ndarray, tuple[float, float]]:
  with Image.open(name) as image:
    _check_size(name, image.size)
    if getattr(image, 'n_frames', 1) > 1:
      raise BadScan(
        f'{name} holds {image.n_frames} pictures; allowed is one picture per file'
      )
    spacing = _header_spacing(image)
    if image.mode in ('P', 'PA', 'CMYK', 'YCbCr', 'HSV', 'LAB'):
      image = image.convert('RGB')
    elif image.mode in ('RGBA', 'RGBX', 'RGBa'):
      image = image.convert('RGB')
    elif image.mode in ('LA', 'La'):
      image = image.convert('L')
    return np.asarray(image), spacing


def _check_size(name: str, shape: Sequence[int]) -> None:
  """Refuses pictures that are too large, before their pixels are decoded."""
  if np.prod([int(n) for n in shape], dtype=np.int64) > MOST_PIXELS:
    raise BadScan(
      f'{name} has {" x ".join(str(n) for n in shape)} pixels; allowed are up to '
      f'{MOST_PIXELS:,}'
    )


def _header_spacing(image: Image.Image) -> tuple[float, float]:
  """Pixel size (x, y) in mm by the resolution in the header; 1 mm without one."""
  try:
    dpi = [float(value) for value in image.info.get('dpi', ())]
  except (TypeError, ValueError, ZeroDivisionError):
    return 1.0, 1.0
  usable = len(dpi) == 2 and all(np.isfinite(value) and value > 0 for value in dpi)
  if not usable or any(abs(d - v) < 0.5 for d in dpi for v in DISPLAY_DPI):
    return 1.0, 1.0
  return MM_PER_INCH / dpi[0], MM_PER_INCH / dpi[1]


def stated_spacing(path: str | os.PathLike) -> tuple[float, float] | None:
  """Returns the pixel size (x, y) in mm that the JSON file beside a picture states.

  Args:
    path: Path of the picture, NAME.png; the file is NAME.json, its key 'spacing_mm'.

  Returns:
    The pixel size; None without such a file or key.

  Raises:
    BadScan: The file is no JSON, or states no usable size.
  """
  sidecar = pathlib.Path(sidecar_of(path))
  if not sidecar.is_file():
    return None
  try:
    stated = json.loads(sidecar.read_text())
    spacing = stated.get('spacing_mm') if isinstance(stated, dict) else None
    if spacing is None:
      return None
    x, y = np.broadcast_to(np.asarray(spacing, float), (2,))
  except (ValueError, TypeError) as error:
    raise BadScan(
      f"{sidecar} has no usable 'spacing_mm'; allowed is one size in mm, or [x, y]"
    ) from error
  if not (np.isfinite([x, y]).all() and min(x, y) > 0):
    raise BadScan(f"{sidecar} has 'spacing_mm' {spacing}; allowed are sizes above 0")
  return float(x), float(y)
