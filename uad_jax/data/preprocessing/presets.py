"""Functions (presets) that return the preprocessing steps of published papers.

The preset `default` has the steps of this project. Each preset takes a `Request`.
External programs that a paper uses are replaced by steps of this package unless the
request asks for them: N4 by bias='n4', HD-BET or SynthStrip by `brain`, another atlas
than MNI152 by `atlas`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from uad_jax.data.preprocessing.steps import Steps
from uad_jax.ops.choices import choose

DEFAULT = 'default'
"""Name of the default preset."""

SLICES, VOLUMES = 'slices', 'volumes'
FORMS = (SLICES, VOLUMES)
"""Forms of a record: an axial slice or a whole volume."""


class Request(NamedTuple):
  """Options of a preprocessing preset, such as contrast, shape and voxel size.

  Attributes:
    contrast: 't1', 't2', 'pd', 'flair', 't1ce' or another.
    form: 'slices' or 'volumes'.
    shape: Shape of a record in voxels; () for the preset's default.
    spacing: Voxel size in mm; 0 for the preset's default.
    brain: Method of the brain mask, the `how` of the step 'brain_mask'; 'auto' also
      trims stripped images.
    bias: Bias correction: 'own' (the step 'bias', T1 only), 'n4' or 'none'; '' for the
      preset's default.
    atlas: Path of a skull-stripped T1 template to align to; '' for MNI152.
  """

  contrast: str = 't1'
  form: str = SLICES
  shape: Sequence[int] = ()
  spacing: float = 0.0
  brain: str = 'auto'
  bias: str = ''
  atlas: str = ''


def default(request: Request) -> Steps:
  """Returns the default preprocessing steps, with alignment to a brain template.

  Slices have voxels of 1.5 mm, volumes of 2 mm. T1 is bias-corrected by the step 'bias'
  and aligned by least squares. Other contrasts do not look like the template: they are
  aligned by mutual information, and not corrected.
  """
  sizes = {SLICES: ((128, 128), 1.5), VOLUMES: ((80, 96, 80), 2.0)}
  return (
    *_start(request),
    *_bias(request, 'own' if request.contrast == 't1' else 'none'),
    _align(request),
    ('crop', {}),
    *_finish(request, sizes, ('intensity', {'how': 'quartiles'}), {'fraction': 0.25}),
  )


def baur2021(request: Request) -> Steps:
  """Returns the preprocessing steps of Baur et al., Medical Image Analysis 69, 2021.

  Aligned to SRI24 (its path is the request's `atlas`), curvature flow (three steps of
  0.125), brain divided by its 99.8th percentile and clipped to [0, 1], 128 x 128.
  Slices 20 to 130 of SRI24's 155 are chosen by slice height. The paper strips skulls by
  ROBEX, here by the request's `brain`.
  """
  sizes = {SLICES: ((128, 128), (1.875, 1.875, 1.0)), VOLUMES: ((128, 128, 128), 1.875)}
  return (
    *_start(request),
    *_bias(request, 'none'),
    _align(request),
    ('denoise', {'rate': 0.125, 'times': 3}),
    *_finish(
      request,
      sizes,
      ('intensity', {'how': 'maximum', 'high': 99.8, 'clip': (0.0, 1.0)}),
      {'heights': (20 / 155, 130 / 155), 'fraction': 0.0},
    ),
  )


def chen2018(request: Request) -> Steps:
  """Returns the preprocessing steps of Chen and Konukoglu, MIDL 2018.

  N4, z-scores, background -3.5. A slice is cropped or padded to 233 mm and resampled to
  256 pixels. Not aligned.
  """
  sizes = {SLICES: ((256, 256), (233 / 256, 233 / 256, 1.0))}
  sizes[VOLUMES] = ((128, 128, 96), (233 / 128, 233 / 128, 2.0))
  return _normal_scores(request, sizes, 'n4')


def heer2021(request: Request) -> Steps:
  """Returns the preprocessing steps of Heer et al., MIDL 2021 (PMLR 143).

  They are those of `chen2018` at 128 x 128 pixels, without N4. The paper applies N4 to
  BraTS only; the request's bias='n4' adds it. Its histogram matching (the step
  'intensity' with how='histogram_match') is not part of the preset.
  """
  sizes = {SLICES: ((128, 128), (233 / 128, 233 / 128, 1.0))}
  sizes[VOLUMES] = ((128, 128, 96), (233 / 128, 233 / 128, 2.0))
  return _normal_scores(request, sizes, 'none')


def you2019(request: Request) -> Steps:
  """Returns the preprocessing steps of You et al., MIDL 2019.

  Intensities as `chen2018`; slices of 158 x 198 pixels at 1 mm.
  """
  sizes = {SLICES: ((158, 198), 1.0), VOLUMES: ((80, 100, 80), 2.0)}
  return _normal_scores(request, sizes, 'n4')


def behrendt2023(request: Request) -> Steps:
  """Returns the preprocessing steps of Behrendt et al., MIDL 2023 (patched diffusion).

  Slices of 96 x 96 pixels at 2 mm. Skull stripping by HD-BET (the request's
  brain='hd_bet'), affine alignment to SRI24 (the request's `atlas`), N4, cropping,
  percentiles 1 and 99 to [0, 1]. Of 80 slices the 15 lowest and the 15 highest are left
  out.
  """
  sizes = {SLICES: ((96, 96), 2.0), VOLUMES: ((96, 96, 80), 2.0)}
  scale = {'how': 'percentile', 'low': 1.0, 'high': 99.0, 'clip': (0.0, 1.0)}
  return (
    *_start(request),
    _align(request),
    *_bias(request, 'n4'),
    ('crop', {}),
    *_finish(
      request,
      sizes,
      ('intensity', scale),
      {'heights': (15 / 80, 65 / 80), 'fraction': 0.0},
    ),
  )


def morphaeus(request: Request) -> Steps:
  """Returns the preprocessing steps of Bercea et al., MICCAI 2023 and Nat Commun 2025.

  T1, 128 x 128 pixels. Aligned to an atlas; the brain's minimum and 98th percentile
  become 0 and 1, and the intensities are clipped to [0, 1]. The resolution, 1.5 mm, is
  our choice.
  """
  sizes = {SLICES: ((128, 128), 1.5), VOLUMES: ((128, 128, 128), 1.5)}
  scale = {'how': 'percentile', 'low': 0.0, 'high': 98.0, 'clip': (0.0, 1.0)}
  return (
    *_start(request),
    *_bias(request, 'none'),
    _align(request),
    *_finish(request, sizes, ('intensity', scale), {'fraction': 0.25}),
  )


PRESETS = {
  f.__name__: f
  for f in (default, baur2021, heer2021, you2019, chen2018, behrendt2023, morphaeus)
}
"""The presets by name."""


def steps(preset: str, request: Request) -> Steps:
  """Returns the preprocessing steps of a preset with the options of a request.

  Args:
    preset: Key of `PRESETS`.
    request: Options of the preset.

  Raises:
    ValueError: The preset, the form or the bias correction is unknown, or the shape
      does not fit the form.
  """
  make = choose('preset', preset, PRESETS)
  if request.form not in FORMS:
    raise ValueError(f"form is '{request.form}'; allowed are {', '.join(FORMS)}")
  sizes = 2 if request.form == SLICES else 3
  if request.shape and len(request.shape) != sizes:
    raise ValueError(
      f'shape is {tuple(request.shape)}; allowed are {sizes} sizes for {request.form}'
    )
  return make(request)


def _start(request: Request) -> Steps:
  trim = {'trim': True} if request.brain == 'auto' else {}
  return (
    ('check', {}), ('reorient', {}), ('brain_mask', {'how': request.brain} | trim),
  )  # fmt: skip


def _bias(request: Request, default_bias: str) -> Steps:
  corrections = {'own': (('bias', {}),), 'n4': (('n4', {}),), 'none': ()}
  how = request.bias or default_bias
  if how not in corrections:
    raise ValueError(f"bias is '{how}'; allowed are {', '.join(corrections)}")
  return corrections[how]


def _align(request: Request) -> tuple[str, dict]:
  """The alignment step: least squares for T1, mutual information for the others."""
  template = {'template': request.atlas} if request.atlas else {}
  if request.contrast == 't1':
    return ('align', template)
  return ('affine', {'similarity': 'mutual_information'} | template)


def _finish(request: Request, sizes, intensity, selection) -> Steps:
  """Last steps: resampling, shape, intensity, and for slices their selection.

  `sizes` holds (shape, spacing in mm) by form, `selection` parameters of 'slices'.
  """
  shape, spacing = sizes[request.form]
  end = (('slices', selection),) if request.form == SLICES else ()
  return (
    ('resample', {'spacing': request.spacing or spacing}),
    ('pad_or_crop', {'shape': tuple(request.shape or shape)}),
    intensity,
    *end,
  )


def _normal_scores(request: Request, sizes, bias: str) -> Steps:
  """Steps with z-scores inside the brain mask, -3.5 outside; all slices with brain."""
  scores = {'how': 'zscore', 'centre': 0.0, 'width': 1.0, 'clip': None}
  scores['background'] = -3.5
  return (
    *_start(request),
    *_bias(request, bias),
    ('crop', {}),
    *_finish(request, sizes, ('intensity', scores), {'fraction': 0.0}),
  )
