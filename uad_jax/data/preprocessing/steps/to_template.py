"""Preprocessing steps 'affine' (JAX) and 'ants' (ANTs), which align to a template."""

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
"""Similarities with the template below which an alignment warns."""

FIELD_MM = (224, 256, 224)
"""Field of view of a brain in mm, one for all scans, so that jax compiles once."""

ANTS = {
  'similarity': {'ncc': 'GC', 'mutual_information': 'mattes'},
  'degrees': {6: 'Rigid', 12: 'Affine'},
}
"""Names in ANTs of our values of `similarity` and `degrees`."""


def affine(
  scan: ScanState,
  similarity: str = 'mutual_information',
  degrees: int = 12,
  least: float | None = None,
  template: str = alignment.MNI152,
) -> ScanState:
  """Aligns a scan of any contrast to a T1 template by an affine registration in JAX.

  The registration is `registration.affine.register`. Only the affines change; the step
  'resample' interpolates. The brain mask is needed.

  Args:
    scan: State of the scan.
    similarity: 'mutual_information', for all contrasts, or 'ncc' (correlation), for T1.
    degrees: Degrees of freedom: 6, 9 or 12.
    least: Similarity below which it warns; None takes the value in `LEAST`.
    template: 'mni152', or the path of a skull-stripped T1 template.
  """
  need_brain(scan, 'affine')
  # Imported here so that the steps load without jax, which most of them do not need.
  from uad_jax.registration.affine import register

  moving, fixed = _head(scan, 4.0), template_head(4.0, template)
  arrays = (a[None] for a in (*moving, *fixed))
  registration = register(*arrays, similarity=similarity, degrees=degrees)
  to_scan = np.asarray(registration.matrix[0], np.float64)
  reached = {similarity: float(registration.similarity[0])}
  return onto_template(scan, to_scan, reached, _least(similarity, least), template)


def ants(
  scan: ScanState,
  similarity: str = 'mutual_information',
  degrees: int = 12,
  least: float | None = None,
  template: str = alignment.MNI152,
) -> ScanState:
  """Aligns a scan to a T1 template by the registration of ANTs (Avants et al. 2011).

  ANTs is called through ANTsPy. It registers at 8, 4 and 2 mm, from a quarter of the
  voxels, sampled with a fixed seed and on one thread, so that the result is
  reproducible. The similarity is measured as by the step 'affine'. Only the affines
  change; the step 'resample' interpolates. The brain mask is needed.

  Args:
    scan: State of the scan.
    similarity: 'mutual_information', for all contrasts, or 'ncc' (correlation), for T1.
    degrees: Degrees of freedom: 6 or 12.
    least: Similarity below which it warns; None takes the value in `LEAST`.
    template: 'mni152', or the path of a skull-stripped T1 template.

  Raises:
    ValueError: `similarity` or `degrees` is not allowed.
    ModuleNotFoundError: ANTsPy is not installed.
  """
  need_brain(scan, 'ants')
  for value, key in ((similarity, 'similarity'), (degrees, 'degrees')):
    if value not in ANTS[key]:
      raise ValueError(
        f"step 'ants' is given {key}={value!r}; allowed are {list(ANTS[key])}"
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
  # Imported here so that the steps load without jax.
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
  """Resamples a template to another voxel size and adds a margin around its brain.

  The voxel size is `spacing` mm, the margin 12 mm or more. The result has an even
  number of voxels along each axis.

  Returns:
    The volume [X, Y, Z], and its 4x4 affine from voxel to mm.
  """
  shape, affine = alignment.template_grid((spacing,) * 3, name)
  margin = int(np.ceil(12 / spacing))
  affine = grid.translated(affine, [-margin] * 3)
  shape = tuple(n + 2 * margin + n % 2 for n in shape)
  volume, native = alignment.template(name)
  to_native = np.linalg.inv(native) @ affine
  return grid.sample(volume, to_native, shape, antialias=True), affine


def _head(scan: ScanState, spacing: float) -> tuple[np.ndarray, np.ndarray]:
  """The scan's brain (0 outside) on a grid of `spacing` mm along the axes of its mm.

  The grid has the size `FIELD_MM` and the brain's centre in its middle.
  """
  centre = nib.affines.apply_affine(scan.affine, np.argwhere(scan.mask)).mean(0)
  shape = tuple(int(n / spacing) for n in FIELD_MM)
  affine = np.diag([spacing, spacing, spacing, 1.0])
  affine[:3, 3] = centre - spacing * (np.array(shape) - 1) / 2
  brain = np.where(scan.mask, scan.image, 0).astype(np.float32)
  to_scan = np.linalg.inv(scan.affine) @ affine
  return grid.sample(brain, to_scan, shape, antialias=True), affine


@contextlib.contextmanager
def _repeatable():
  """Makes ANTs reproducible: sets one thread and a seed in the environment.

  With several threads the order of ITK's sums varies. All releases of ANTs read the
  environment, only some the corresponding arguments. ITK reads the number of threads
  once: if it has run before in this process, it keeps its number.
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
  """Runs `ants.registration`; returns the 4x4 from `fixed` to `moving` in mm."""
  # ITK's first two axes are reversed: they point left and back.
  flip = np.diag([-1.0, -1, 1, 1])

  def image(volume, affine):
    affine = flip @ affine
    spacing = grid.spacing(affine)
    return antspy.from_numpy(
      volume, tuple(affine[:3, 3]), tuple(spacing), affine[:3, :3] / spacing
    )

  with tempfile.TemporaryDirectory() as folder:
    result = antspy.registration(
      image(*fixed),
      image(*moving),
      type_of_transform=ANTS['degrees'][degrees],
      aff_metric=ANTS['similarity'][similarity],
      aff_random_sampling_rate=0.25,
      aff_iterations=(1000, 500, 10),
      aff_shrink_factors=(4, 2, 1),
      aff_smoothing_sigmas=(2, 1, 0),
      outprefix=os.path.join(folder, 'transform'),
    )
    transform = antspy.read_transform(result['fwdtransforms'][0])
  # y = A (x - c) + c + t from the fixed to the moving image.
  linear = np.reshape(transform.parameters[:9], (3, 3))
  centre = np.asarray(transform.fixed_parameters)
  matrix = np.eye(4)
  matrix[:3, :3] = linear
  matrix[:3, 3] = centre + transform.parameters[9:] - linear @ centre
  return flip @ matrix @ flip
