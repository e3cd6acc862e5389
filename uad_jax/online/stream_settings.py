"""Settings of a stream: parts, rates, levels and guards, with their checks."""

from typing import NamedTuple

from uad_jax.online.background_mixture import Rule as BackgroundRule
from uad_jax.online.false_discovery import e_lond, e_value, lond
from uad_jax.online.guards import Guards
from uad_jax.online.residual_memory import EVICTIONS
from uad_jax.online.score_checks import check_level
from uad_jax.ops.choices import choose
from uad_jax.ops.limits import check_number, check_whole

DISCOVERIES = {'lond': lond, 'e-lond': lambda state, p: e_lond(state, e_value(p))}
"""Rules (state, p-value) -> (state, discovery) over the scans of a stream, by name."""

FEWEST = 100
"""Calibration scans below which small p-values come from a fitted tail (SPOT)."""


class Settings(NamedTuple):
  """Settings of a stream; `check` says which values are allowed.

  Attributes:
    cells: Whether cells of recurring residuals are suppressed (background mixture).
    components: Whether recurring components are suppressed (memory bank).
    voxels: Whether anomaly maps are standardised by tracked moments of each voxel.
    share: Share of the healthy brain voxels at or above the threshold of the map.
    cell: Voxels of a cell along each axis.
    kinds: Gaussians at each cell.
    rule: Constants of the background mixture. A match of 1.8 is exceeded by four normal
      values as rarely as 2.5, the usual limit, by one.
    radius: Distance of two component vectors up to which they are alike.
    reach: Distance in voxels that counts as one standard deviation of a descriptor.
    capacity: Entries of the memory bank, of which healthy scans fill at most one half;
      also the most scores of the stream in a calibration that is not frozen.
    eviction: Choice of the entries that stay, 'coreset' or 'reservoir'.
    voxel_rate: Weight of a new scan in the moments of each voxel.
    anchor: Weight of the healthy moments in those that standardise; it counts with the
      guard `frozen` only.
    floor: Variance added to that of each voxel, in mean healthy variances.
    alpha: Share of healthy scans that may be flagged.
    adaptive_rate: Step of the level with each answer of a reader.
    tail_level: Quantile of the scores above which a tail is fitted.
    depth: Scores in the window of DSPOT; 0 is SPOT.
    recency: Share of its weight that a calibration score loses with each later one.
    discovery: Rule over the scans of the stream, 'lond' or 'e-lond'.
    discovery_rate: False discovery rate of that rule.
    run_length: Mean number of scans between false alarms of drift, at least.
    shadow_scans: Healthy scans of the shadow test.
    shadow_lesions: Synthetic lesions in each of them.
    shadow_radius: Radius of a synthetic lesion in voxels.
    shadow_height: Contrast of a synthetic lesion, in standard deviations of the healthy
      maps.
    seed: Seed of all draws.
    guards: Guards against learning disease away. Ten subjects must show a pattern: with
      three, lesions at one common place in 60 % of the scans of a synthetic stream were
      learnt.
  """

  cells: bool = True
  components: bool = True
  voxels: bool = True
  share: float = 0.02
  cell: int = 4
  kinds: int = 3
  rule: BackgroundRule = BackgroundRule(match=1.8)
  radius: float = 2.0
  reach: float = 2.0
  capacity: int = 500
  eviction: str = 'coreset'
  voxel_rate: float = 0.05
  anchor: float = 0.2
  floor: float = 1.0
  alpha: float = 0.05
  adaptive_rate: float = 0.005
  tail_level: float = 0.8
  depth: int = 0
  recency: float = 0.0
  discovery: str = 'e-lond'
  discovery_rate: float = 0.1
  run_length: float = 1000.0
  shadow_scans: int = 4
  shadow_lesions: int = 6
  shadow_radius: float = 2.5
  shadow_height: float = 3.0
  seed: int = 0
  guards: Guards = Guards(subjects=10)


def check(settings: Settings) -> None:
  """Checks the settings that no other module checks when it is called.

  >>> check(Settings(recency=0.1))
  Traceback (most recent call last):
  ValueError: recency is 0.1; allowed is 0 while the guard 'frozen' is on

  Args:
    settings: The settings.

  Raises:
    ValueError: A value is not allowed; the message says which are.
  """
  for name in ('cells', 'components', 'voxels'):
    if not isinstance(value := getattr(settings, name), bool):
      raise ValueError(f'{name} is {value}; allowed are True and False')
  for name in ('alpha', 'share', 'tail_level', 'discovery_rate'):
    check_level(name, getattr(settings, name))
  for name in ('kinds', 'capacity', 'shadow_scans', 'shadow_lesions'):
    check_whole(name, getattr(settings, name), 1)
  for name in ('floor', 'shadow_radius', 'shadow_height', 'radius', 'reach'):
    check_number(name, getattr(settings, name), 0, above=True)
  check_whole('seed', settings.seed, 0)
  check_number('voxel_rate', settings.voxel_rate, 0, 1, above=True)
  check_number('anchor', settings.anchor, 0, 1)
  choose('eviction', settings.eviction, EVICTIONS)
  choose('discovery', settings.discovery, DISCOVERIES)
  if settings.alpha >= (most := 1 - settings.tail_level):
    raise ValueError(
      f'alpha is {settings.alpha}; allowed is a number below {most:g}, 1 - tail_level'
    )
  if not 0 <= settings.recency < 1:
    raise ValueError(
      f'recency is {settings.recency}; allowed is a number below 1, 0 or more'
    )
  check_whole('depth', settings.depth, 0)
  for name in ('recency', 'depth'):
    if (value := getattr(settings, name)) and settings.guards.frozen:
      raise ValueError(
        f"{name} is {value}; allowed is 0 while the guard 'frozen' is on"
      )
  check_whole('subjects', settings.guards.subjects, 1)
  check_number('p_above', settings.guards.p_above, 0, 1)
  if not settings.guards.drop_percent >= 0:
    raise ValueError(
      f'drop_percent is {settings.guards.drop_percent}; allowed is a number of 0 or '
      'more, infinite to switch the shadow test off'
    )
