"""Table of the preprocessing steps, and functions that check their parameters.

A step is a function from a `ScanState` and options to a new `ScanState`.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax.data.preprocessing import intensity as intensities
from uad_jax.data.preprocessing.steps.brain import brain_mask
from uad_jax.data.preprocessing.steps.geometry import (
  align,
  crop,
  pad_or_crop,
  reorient,
  resample,
  slices,
)
from uad_jax.data.preprocessing.steps.pictures import fit, foreground, picture
from uad_jax.data.preprocessing.steps.to_template import affine, ants
from uad_jax.data.preprocessing.steps.values import bias, check, denoise, intensity, n4

Steps = Sequence[tuple[str, Mapping[str, Any]]]
"""Pairs (name, parameters) of steps, in the order in which they are applied."""

_IN_ORDER = (
  check, picture, reorient, n4, brain_mask, foreground, bias, align, affine,
  ants, crop, denoise, fit, resample, intensity, pad_or_crop, slices,
)  # fmt: skip
STEPS = {step.__name__: step for step in _IN_ORDER}
"""The steps by name, in a usual order."""


def parameters_of(name: str, parameters: Mapping[str, Any]) -> list[str]:
  """Lists the names of the parameters that a preprocessing step takes.

  The step 'intensity' also takes the parameters of the normalisation that its `how`
  names.

  Args:
    name: Key of `STEPS`.
    parameters: The parameters that the step is called with, for `how`.
  """
  step = inspect.signature(STEPS[name]).parameters
  names = [key for key, p in step.items() if p.kind is not p.VAR_KEYWORD][1:]
  if len(names) + 1 == len(step):
    return names
  normalisation = intensities.by_name(parameters.get('how', step['how'].default))
  return names + list(inspect.signature(normalisation).parameters)[1:]


def check_steps(steps: Steps) -> None:
  """Checks that preprocessing steps exist and take the parameters that they are given.

  It needs no scan, so that errors are found before any file is read.

  Raises:
    ValueError: A step is unknown, or does not take a parameter.
  """
  for name, parameters in steps:
    if name not in STEPS:
      raise ValueError(f"step '{name}' is unknown; allowed are {', '.join(STEPS)}")
    allowed = parameters_of(name, parameters)
    unknown = [key for key in parameters if key not in allowed]
    if unknown:
      raise ValueError(
        f"step '{name}' does not take {', '.join(unknown)}; "
        f'allowed are {", ".join(allowed)}'
      )
