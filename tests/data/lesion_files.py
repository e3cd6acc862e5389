"""Files of lesion shapes, as `prepare lesions` takes them."""

import numpy as np

from tests.data.heads import write


def shape_files(folder, count):
  """Balls of 12 mm about white matter of either hemisphere, on a 2 mm LAS MNI grid."""
  affine = np.diag([-2.0, 2, 2, 1])
  affine[:3, 3] = (78, -112, -50)
  paths = []
  for i in range(count):
    centre = np.array([-27 if i % 2 else 27, -30 + 4 * i, 25])
    voxels = np.moveaxis(np.indices((79, 95, 69)), 0, -1)
    mm = voxels @ affine[:3, :3].T + affine[:3, 3]
    ball = np.linalg.norm(mm - centre, axis=-1) < 12
    data = (ball * 3).astype(np.float32)
    paths.append(write(folder / f'shape-{i}.nii.gz', data, affine))
  return paths
