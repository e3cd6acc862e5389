"""Functions that draw axial slices of a scan with its anomaly map as an overlay."""

import nibabel
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uad_jax.report.figures import png

ROWS, COLUMNS = 3, 6  # of the picture, slices from bottom to top of the brain


def canonical(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Reorients a volume so that its axes point right, anterior and superior (RAS).

  Args:
    volume: [X, Y, Z].
    affine: [4, 4] voxel to world coordinates in mm.

  Returns:
    The reoriented volume and its voxel sizes in mm.
  """
  turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, affine))
  return turned.get_fdata(dtype=np.float32), turned.header.get_zooms()[:3]


def overlay(
  image: np.ndarray,
  anomaly: np.ndarray,
  lesion: np.ndarray,
  affine: np.ndarray,
  threshold: float,
) -> bytes:
  """Draws axial slices of a scan with its anomaly map and the detected lesions.

  The picture is returned as PNG bytes. Neurological orientation: the subject's right is
  on the right, the front is up.

  Args:
    image: [X, Y, Z] scan on its native grid.
    anomaly: [X, Y, Z] anomaly map; shown from half the threshold on, less transparent
      for higher scores.
    lesion: [X, Y, Z] binary detection, outlined.
    affine: [4, 4] voxel to world coordinates in mm.
    threshold: Threshold of the anomaly map.
  """
  image, zooms = canonical(np.asarray(image, np.float32), affine)
  anomaly, _ = canonical(np.asarray(anomaly, np.float32), affine)
  lesion, _ = canonical(np.asarray(lesion, np.uint8), affine)
  seen = np.flatnonzero((anomaly > anomaly.min()).any((0, 1)))
  if not len(seen):
    seen = np.arange(image.shape[2])
  heights = np.linspace(seen[0], seen[-1], ROWS * COLUMNS + 2).round().astype(int)[1:-1]
  window = np.percentile(image[image > image.min()], [1, 99.5])
  top = max(float(np.percentile(anomaly, 99.9)), 1.5 * threshold, threshold + 1e-6)

  figure = Figure((2 * COLUMNS, 2.2 * ROWS), facecolor='black', layout='constrained')
  FigureCanvasAgg(figure)
  for ax, z in zip(figure.subplots(ROWS, COLUMNS).flat, heights, strict=True):
    aspect = zooms[1] / zooms[0]
    style = {'origin': 'lower', 'aspect': aspect}
    ax.imshow(image[:, :, z].T, 'gray', vmin=window[0], vmax=window[1], **style)
    scores = anomaly[:, :, z].T
    strength = np.clip((scores - threshold / 2) / (top - threshold / 2), 0, 1)
    ax.imshow(scores, 'inferno', vmin=0, vmax=top, alpha=0.8 * strength, **style)
    if lesion[:, :, z].any():
      ax.contour(lesion[:, :, z].T, [0.5], colors=['#22e0ff'], linewidths=0.8)
    ax.set_axis_off()
  return png(figure)
