"""Rows of the study: anomaly maps with and without a field, and with other gates.

All rows have the same score, the residual at several scales in its healthy deviations
(the score 'multiscale' of the config). Only the field differs:

  no field             moments of the scans as they are
  uniform, L           all voxels count, at the stiffness L
  gated, L             the gate of the method, at the stiffness L
  gated, uncertain     the gated field, with the variance of its own posterior in T
  switch               g T(no field) + (1 - g) T(uniform), with the same gate g
  permuted gate        the gate of another subject
  random blobs         the values of the gate at random blobs
  inverted gate        1 - g
  raw residual         the values of the gate at the largest |x - m|
  true mask            the lesion mask as the gate: the limit of any gate
  field of the twin    the gated field of the same scan without its lesion
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.comparison.field import controls
from uad_jax.comparison.field.heads import Heads, Model, inferred
from uad_jax.evaluation.measure import MAP
from uad_jax.inference import COMPARED

SCORE, USUAL = f'{MAP}multiscale', f'{MAP}multiscale_usual'
"""Maps of the registered moments, and of the moments of the scans as they are."""

NO_FIELD, SWITCH, TRUE_MASK, TWIN = (
  'no field', 'switch', 'true mask', 'field of the twin',
)  # fmt: skip
UNCERTAIN = 'gated, uncertain'
CONTROLS = (
  'permuted gate', 'random blobs', 'inverted gate', 'raw residual', TRUE_MASK,
)  # fmt: skip
"""Rows in which another gate replaces that of the method."""


class Row(NamedTuple):
  """One row of the study on all records of a split.

  Attributes:
    name: Name in the tables.
    arrays: Arrays [n, *S, ...] by name: `SCORE`; where the row has a field also the
      outputs of the method, and 'twin_NAME', the outputs in `COMPARED` for the same
      scan without its lesion under the same entries.
  """

  name: str
  arrays: dict[str, np.ndarray]


def uniform(stiffness: float) -> str:
  """Returns the name of the row of a uniform field."""
  return f'uniform, {stiffness:g}'


def gated(stiffness: float) -> str:
  """Returns the name of the row of a gated field."""
  return f'gated, {stiffness:g}'


def rows_of(
  model: Model, heads: Heads, stiffness: float, sweep: Sequence[float]
) -> Iterator[Row]:
  """Infers all rows, one after the other.

  Args:
    model: Trained method with the batch entries 'open', 'strength', 'hidden', 'field'.
    heads: Records of the split.
    stiffness: Stiffness of the rows that have none in their name.
    sweep: Stiffnesses of the uniform and of the gated rows; `stiffness` among them.
  """
  ours = _row(model, heads, gated(stiffness), open=1.0, strength=stiffness)
  yield Row(NO_FIELD, {SCORE: ours.arrays[USUAL]})
  for value in sweep:
    row = _row(model, heads, uniform(value), open=0.0, strength=value)
    if value == stiffness:
      free = row
    yield row
  for value in sweep:
    if value == stiffness:
      yield ours
    else:
      yield _row(model, heads, gated(value), open=1.0, strength=value)
  if model.uncertain is not None:
    with_draws = model._replace(infer=model.uncertain)
    yield _row(with_draws, heads, UNCERTAIN, open=1.0, strength=stiffness)
  g = ours.arrays['gate']
  switched = g * ours.arrays[USUAL] + (1 - g) * free.arrays[SCORE]
  yield Row(SWITCH, free.arrays | {SCORE: switched, 'gate': g})
  gates = {
    'permuted gate': lambda: controls.permuted(g, heads),
    'random blobs': lambda: controls.random_blobs(g, heads),
    'inverted gate': lambda: controls.inverted(g, heads),
    'raw residual': lambda: controls.by_raw_residual(g, heads, ours.arrays['prior']),
    TRUE_MASK: lambda: controls.true_mask(heads),
  }
  for name in CONTROLS:
    yield _row(model, heads, name, hidden=gates[name]())
  if 'twin' in heads.arrays:
    yield _row(model, heads, TWIN, field=ours.arrays['twin_displacement'])


def _row(model: Model, heads: Heads, name: str, **entries: np.ndarray | float) -> Row:
  """One row, with the field of the lesion-free twins under the same entries."""
  arrays = inferred(model, heads, entries)
  sick = np.flatnonzero(heads.sick)
  if 'twin' in heads.arrays:
    # A twin of the healthy is the image itself.
    twins = {output: arrays[output].copy() for output in COMPARED}
    if len(sick):
      chosen = {k: v if np.ndim(v) == 0 else v[sick] for k, v in entries.items()}
      healthy = heads.only(sick)
      again = inferred(model, healthy, chosen, image=healthy.arrays['twin'])
      for output, values in twins.items():
        values[sick] = again[output]
    arrays |= {f'twin_{output}': values for output, values in twins.items()}
  return Row(name, arrays)
