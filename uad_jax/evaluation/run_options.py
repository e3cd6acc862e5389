"""Functions that check the options of training and evaluation before a run starts.

The options of methods, scorers and adaptations are not checked here: the functions that
make these check them.
"""

from collections.abc import Mapping
from typing import Any

from uad_jax import optimisers
from uad_jax.evaluation.postprocess import PRESETS
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_sizes, check_whole

AT_LEAST_ONE = ('batch_size', 'resamples', 'log_every', 'save_every')
"""Options that are numbers of something: examples, resamples, steps."""


def check(settings: Mapping[str, Any], key: str = 'config') -> None:
  """Checks the options of training and evaluation in the config of a run.

  Args:
    settings: The config as plain dicts and lists.
    key: Name of the config, for the error messages.

  Raises:
    ValueError: An option is not possible; the message names the option, its value and
      what is allowed.
  """
  check_whole(f'{key}.seed', settings['seed'], 0, 2**32 - 3)
  for name in AT_LEAST_ONE:
    check_whole(f'{key}.{name}', settings[name], 1)
  check_sizes(f'{key}.steps', settings['steps'], (), 0)
  if settings['steps'] and not any(settings['steps']):
    raise ValueError(
      f'{key}.steps[0] is 0; allowed is a step or more in one stage, as nothing would '
      'be learned, or () for a method that learns nothing'
    )
  check_choice(f'{key}.postprocess', settings['postprocess'], PRESETS)
  _check_optimisers(settings, key)
  _check_scores(settings, key)


def _check_optimisers(settings: Mapping[str, Any], key: str) -> None:
  """Checks the options of all optimisers."""
  everywhere = settings['optimiser']
  optimisers.check(everywhere, f'{key}.optimiser')
  for objective, options in settings['optimisers'].items():
    optimisers.check({**everywhere, **options}, f'{key}.optimisers.{objective}')


def _check_scores(settings: Mapping[str, Any], key: str) -> None:
  """Checks that there are scorers, and that the variants name known ones."""
  scores = settings['scores']
  if not scores:
    raise ValueError(
      f'{key}.scores is empty; allowed is one scorer or more, such as {key}.scores.'
      "residual = dict(scorer='residual') in the config file"
    )
  for row, options in scores.items():
    if not isinstance(options, Mapping) or not options.get('scorer'):
      raise ValueError(
        f"{key}.scores.{row} names no scorer; allowed is dict(scorer='NAME', ...)"
      )
  for size in settings.get('medians', ()):
    check_whole(f'{key}.medians', size, 3)
    if size % 2 == 0:
      raise ValueError(f'{key}.medians has {size}; allowed are odd sizes: 3, 5, 7 ...')
  for row in settings['variant_scores']:
    check_choice(f'{key}.variant_scores', row, scores)
  for variant, entries in settings['variants'].items():
    if not isinstance(entries, Mapping):
      raise ValueError(
        f'{key}.variants.{variant} is {entries}; allowed are numbers by the name of an '
        'entry of a batch'
      )
    for name, value in entries.items():
      check_number(f'{key}.variants.{variant}.{name}', value)
