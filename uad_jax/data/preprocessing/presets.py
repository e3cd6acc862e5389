"""Preprocessing named after the papers: each a function from a `Request` to steps.

What a paper does by an outside program is done by our own step unless the program is
asked for: N4 by `bias='n4'`, HD-BET or SynthStrip by `brain`, another atlas by `atlas`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from uad_jax.data.preprocessing.steps import Steps

DEFAULT = 'default'
SLICES, VOLUMES = 'slices', 'volumes'
FORMS = (SLICES, VOLUMES)


class Request(NamedTuple):
  """What is to be prepared.

  Attributes:
    contrast: 't1', 't2', 'pd', 'flair', 't1ce', ...
    form: 'slices' or 'volumes'.
    shape: Of a record; () for the preset's own.
    spacing: In mm; 0 for the preset's own.
    brain: How the brain is found; a way of the step `brain_mask`.
    bias: 'own' (T1 only), 'n4' or 'none'; '' for the preset's own.
    atlas: Path of a stripped T1 template to align to; '' for the MNI152.
  """

  contrast: str = 't1'
  form: str = SLICES
  shape: Sequence[int] = ()
  spacing: float = 0.0
  brain: str = 'auto'
  bias: str = ''
  atlas: str = ''


def default(case: Request) -> Steps:
  """The project's own: aligned to the atlas, 1.5 mm slices or 2 mm volumes.

  T1 is corrected by our own field and aligned by least squares; other contrasts, which
  do not look like the template, are aligned by mutual information and not corrected.
  """
  sizes = {SLICES: ((128, 128), 1.5), VOLUMES: ((80, 96, 80), 2.0)}
  return (
    *_start(case),
    *_bias(case, 'own' if case.contrast == 't1' else 'none'),
    _align(case),
    ('crop', {}),
    *_finish(case, sizes, ('intensity', {'how': 'percentile'}), {'fraction': 0.25}),
  )


def baur2021(case: Request) -> Steps:
  """Baur et al., Medical Image Analysis 69, 2021: denoised, divided by a percentile.

  Curvature flow (step 0.125, three times), aligned to SRI24 (give it as `atlas`), brain
  divided by its 99.8th percentile and clipped to [0, 1], 128 x 128. Slices 20 to 130 of
  SRI24's 155 are taken by their share of the height. ROBEX is `brain`'s part.
  """
  sizes = {SLICES: ((128, 128), (1.875, 1.875, 1.0)), VOLUMES: ((128, 128, 128), 1.875)}
  return (
    *_start(case),
    *_bias(case, 'none'),
    _align(case),
    ('denoise', {'rate': 0.125, 'times': 3}),
    *_finish(
      case,
      sizes,
      ('intensity', {'how': 'maximum', 'high': 99.8, 'clip': (0.0, 1.0)}),
      {'heights': (20 / 155, 130 / 155), 'fraction': 0.0},
    ),
  )


def chen2018(case: Request) -> Steps:
  """Chen and Konukoglu, MIDL 2018: N4, z-scores, background -3.5, 256 x 256.

  The slice is cut or padded to 233 mm and enlarged to 256 pixels. Not aligned.
  """
  sizes = {SLICES: ((256, 256), (233 / 256, 233 / 256, 1.0))}
  sizes[VOLUMES] = ((128, 128, 96), (233 / 128, 233 / 128, 2.0))
  return _normal_scores(case, sizes, 'n4')


def heer2021(case: Request) -> Steps:
  """Heer et al., MIDL 2021 (PMLR 143): chen2018 at half the resolution, 128 x 128.

  N4 was applied to BraTS only there; ask for it by `bias='n4'`. Histogram matching is
  `intensity` with how='histogram_match', given to the builder as further steps.
  """
  sizes = {SLICES: ((128, 128), (233 / 128, 233 / 128, 1.0))}
  sizes[VOLUMES] = ((128, 128, 96), (233 / 128, 233 / 128, 2.0))
  return _normal_scores(case, sizes, 'none')


def you2019(case: Request) -> Steps:
  """You et al., MIDL 2019: chen2018's intensities at 1 mm, cut to 158 x 198."""
  sizes = {SLICES: ((158, 198), 1.0), VOLUMES: ((80, 100, 80), 2.0)}
  return _normal_scores(case, sizes, 'n4')


def behrendt2023(case: Request) -> Steps:
  """Behrendt et al., MIDL 2023 (patched diffusion): atlas, N4, 2 mm, 96 x 96.

  HD-BET (`brain='hd_bet'`), affine to SRI24 (`atlas`), N4, cropped; percentiles 1 and
  99 to [0, 1]; of 80 slices the 15 lowest and highest are left out.
  """
  sizes = {SLICES: ((96, 96), 2.0), VOLUMES: ((96, 96, 80), 2.0)}
  scale = {'how': 'percentile', 'low': 1.0, 'high': 99.0, 'clip': (0.0, 1.0)}
  return (
    *_start(case),
    _align(case),
    *_bias(case, 'n4'),
    ('crop', {}),
    *_finish(
      case,
      sizes,
      ('intensity', scale),
      {'heights': (15 / 80, 65 / 80), 'fraction': 0.0},
    ),
  )


def morphaeus(case: Request) -> Steps:
  """Bercea et al., MICCAI 2023 and Nature Communications 2025: T1, [0, 1], 128 x 128.

  Their brains are aligned to an atlas and their intensities end at the 98th percentile;
  the resolution is ours.
  """
  sizes = {SLICES: ((128, 128), 1.5), VOLUMES: ((128, 128, 128), 1.5)}
  scale = {'how': 'percentile', 'low': 0.0, 'high': 98.0, 'clip': (0.0, 1.0)}
  return (
    *_start(case),
    *_bias(case, 'none'),
    _align(case),
    *_finish(case, sizes, ('intensity', scale), {'fraction': 0.25}),
  )


PRESETS = {
  f.__name__: f
  for f in (default, baur2021, heer2021, you2019, chen2018, behrendt2023, morphaeus)
}


def steps(preset: str, case: Request) -> Steps:
  """The steps of a preset."""
  if preset not in PRESETS:
    raise ValueError(f"unknown preset '{preset}'; there are {', '.join(PRESETS)}")
  if case.form not in FORMS:
    raise ValueError(f"form is '{case.form}'; allowed are {', '.join(FORMS)}")
  wanted = 2 if case.form == SLICES else 3
  if case.shape and len(case.shape) != wanted:
    raise ValueError(
      f'shape is {tuple(case.shape)}; allowed are {wanted} sizes for {case.form}'
    )
  return PRESETS[preset](case)


def _start(case: Request) -> Steps:
  return (('check', {}), ('reorient', {}), ('brain_mask', {'how': case.brain}))


def _bias(case: Request, usual: str) -> Steps:
  steps = {'own': (('bias', {}),), 'n4': (('n4', {}),), 'none': ()}
  how = case.bias or usual
  if how not in steps:
    raise ValueError(f"bias is '{how}'; allowed are {', '.join(steps)}")
  return steps[how]


def _align(case: Request) -> tuple[str, dict]:
  template = {'template': case.atlas} if case.atlas else {}
  if case.contrast == 't1':
    return ('align', template)
  return ('affine', {'similarity': 'mutual_information'} | template)


def _finish(case: Request, sizes, intensity, chosen) -> Steps:
  shape, spacing = sizes[case.form]
  end = (('slices', chosen),) if case.form == SLICES else ()
  return (
    ('resample', {'spacing': case.spacing or spacing}),
    ('pad_or_crop', {'shape': tuple(case.shape or shape)}),
    intensity,
    *end,
  )


def _normal_scores(case: Request, sizes, bias: str) -> Steps:
  """z-scores inside the brain, -3.5 outside; every slice with brain."""
  scores = {'how': 'zscore', 'centre': 0.0, 'width': 1.0, 'clip': None}
  scores['background'] = -3.5
  return (
    *_start(case),
    *_bias(case, bias),
    ('crop', {}),
    *_finish(case, sizes, ('intensity', scores), {'fraction': 0.0}),
  )
