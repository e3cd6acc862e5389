"""The steps of preprocessing: each takes a `ScanState` and gives a `ScanState`."""

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
from uad_jax.data.preprocessing.steps.to_template import affine, ants
from uad_jax.data.preprocessing.steps.values import bias, check, denoise, intensity, n4

Steps = Sequence[tuple[str, Mapping[str, Any]]]

_IN_ORDER = (
  check, reorient, n4, brain_mask, bias, align, affine, ants, crop, denoise, resample,
  intensity, pad_or_crop, slices,
)  # fmt: skip
STEPS = {step.__name__: step for step in _IN_ORDER}


def parameters_of(name: str, given: Mapping[str, Any]) -> list[str]:
  """What a step takes; 'intensity' hands on to the function that its `how` names."""
  step = inspect.signature(STEPS[name]).parameters
  own = [key for key, p in step.items() if p.kind is not p.VAR_KEYWORD][1:]
  if len(own) + 1 == len(step):
    return own
  chosen = intensities.by_name(given.get('how', step['how'].default))
  return own + list(inspect.signature(chosen).parameters)[1:]


def check_steps(steps: Steps) -> None:
  """Refuses unknown names and parameters before any file is read."""
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
