"""The steps that find the affine to the template by other means than `align`."""

import contextlib
import functools
import os
import tempfile

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import align as alignment
from uad_jax.data.preprocessing import grid
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import need_brain
from uad_jax.data.preprocessing.steps.geometry import onto_template

LEAST = {'ncc': 0.7, 'mutual_information': 0.25}
"""Similarities under which an alignment is warned of."""

FIELD_MM = (224, 256, 224)
"""Room for any head's brain; one size, so that one compiled function serves all."""

ANTS = {
  'similarity': {'ncc': 'GC', 'mutual_information': 'mattes'},
  'degrees': {6: 'Rigid', 12: 'Affine'},
}
"""ANTs' names for ours."""


def affine(
  scan: ScanState,
  similarity: str = 'mutual_information',
  degrees: int = 12,
  least: float | None = None,
  template: str = alignment.MNI152,
) -> ScanState:
  """Finds the affine to a T1 template in JAX; nothing is interpolated yet.

  'mutual_information' also serves other contrasts than T1; 'ncc' is the correlation.
  A similarity under `least` (by default of `LEAST`) is warned of.
  """
  need_brain(scan, 'affine')
  # Here, for this package loads without jax: readers and workers need none.
  from uad_jax.registration.affine import register

  moving, fixed = _head(scan, 4.0), template_head(4.0, template)
  arrays = (a[None] for a in (*moving, *fixed))
  found = register(*arrays, similarity=similarity, degrees=degrees)
  to_scan = np.asarray(found.matrix[0], np.float64)
  reached = {similarity: float(found.similarity[0])}
  return onto_template(scan, to_scan, reached, _least(similarity, least), template)


def ants(
  scan: ScanState,
  similarity: str = 'mutual_information',
  degrees: int = 12,
  least: float | None = None,
  template: str = alignment.MNI152,
) -> ScanState:
  """Finds the affine to a T1 template by ANTs; nothing is interpolated yet.

  Avants et al. 2011, through ANTsPy, at 8, 4 and 2 mm, on one thread and from a quarter
  of the voxels, moved a little by a fixed seed: it is repeatable. It has 6 or 12
  degrees. The similarity is measured as `affine` measures it.
  """
  need_brain(scan, 'ants')
  for given, key in ((similarity, 'similarity'), (degrees, 'degrees')):
    if given not in ANTS[key]:
      raise ValueError(
        f"step 'ants' is given {key}={given!r}; allowed are {list(ANTS[key])}"
      )
  with _repeatable():
    try:
      import ants as antspy
    except ImportError as error:
      raise ModuleNotFoundError(
        "step 'ants' needs ANTsPy; install it by `pip install uad_jax[ants]` or use "
        "the step 'affine'"
      ) from error
    to_scan = _by_ants(
      antspy, _head(scan, 2.0), template_head(2.0, template), similarity, degrees
    )
  # Here, for this package loads without jax.
  from uad_jax.registration.affine import measure

  moving, fixed = _head(scan, 4.0), template_head(4.0, template)
  arrays = (a[None] for a in (to_scan, *moving, *fixed))
  reached = float(measure(*arrays, similarity=similarity)[0])
  return onto_template(
    scan,
    to_scan,
    {similarity: reached},
    _least(similarity, least),
    template,
    antspyx=antspy.__version__,
  )


def _least(similarity, least):
  return LEAST[similarity] if least is None else least


@functools.cache
def template_head(
  spacing: float, name: str = alignment.MNI152
) -> tuple[np.ndarray, np.ndarray]:
  """The template at `spacing` mm with a margin, its sizes even; voxel to mm."""
  shape, affine = alignment.template_grid((spacing,) * 3, name)
  margin = int(np.ceil(12 / spacing))
  affine = grid.translated(affine, [-margin] * 3)
  shape = tuple(n + 2 * margin + n % 2 for n in shape)
  volume, native = alignment.template(name)
  to_native = np.linalg.inv(native) @ affine
  return grid.sample(volume, to_native, shape, antialias=True), affine


def _head(scan: ScanState, spacing: float) -> tuple[np.ndarray, np.ndarray]:
  """The brain, 0 outside, at `spacing` mm on a grid along the world's axes about it."""
  centre = nib.affines.apply_affine(scan.affine, np.argwhere(scan.mask)).mean(0)
  shape = tuple(int(n / spacing) for n in FIELD_MM)
  affine = np.diag([spacing, spacing, spacing, 1.0])
  affine[:3, 3] = centre - spacing * (np.array(shape) - 1) / 2
  brain = np.where(scan.mask, scan.image, 0).astype(np.float32)
  to_scan = np.linalg.inv(scan.affine) @ affine
  return grid.sample(brain, to_scan, shape, antialias=True), affine


@contextlib.contextmanager
def _repeatable():
  """One thread, for ITK adds in the order of its threads; a seed for its samples.

  The environment is read by every release of ANTs, its arguments by some. ITK counts
  its threads once, so one that ran before this keeps its own number.
  """
  wanted = {'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS': '1', 'ANTS_RANDOM_SEED': '1'}
  before = {name: os.environ.get(name) for name in wanted}
  os.environ.update(wanted)
  try:
    yield
  finally:
    for name, value in before.items():
      os.environ.pop(name)
      if value is not None:
        os.environ[name] = value


def _by_ants(antspy, moving, fixed, similarity, degrees):
  """The matrix, template mm to scan mm, by `ants.registration`."""
  # ITK's first two axes run the other way: left and back.
  flip = np.diag([-1.0, -1, 1, 1])

  def image(volume, affine):
    affine = flip @ affine
    spacing = grid.spacing(affine)
    return antspy.from_numpy(
      volume, tuple(affine[:3, 3]), tuple(spacing), affine[:3, :3] / spacing
    )

  with tempfile.TemporaryDirectory() as folder:
    found = antspy.registration(
      image(*fixed),
      image(*moving),
      type_of_transform=ANTS['degrees'][degrees],
      aff_metric=ANTS['similarity'][similarity],
      aff_random_sampling_rate=0.25,
      aff_iterations=(1000, 500, 10),
      aff_shrink_factors=(4, 2, 1),
      aff_smoothing_sigmas=(2, 1, 0),
      outprefix=os.path.join(folder, 'found'),
    )
    transform = antspy.read_transform(found['fwdtransforms'][0])
  # y = A (x - c) + c + t from the fixed to the moving image.
  linear = np.reshape(transform.parameters[:9], (3, 3))
  centre = np.asarray(transform.fixed_parameters)
  matrix = np.eye(4)
  matrix[:3, :3] = linear
  matrix[:3, 3] = centre + transform.parameters[9:] - linear @ centre
  return flip @ matrix @ flip
