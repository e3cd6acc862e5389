"""Functions that note and check the training step of the parameters of an evaluation.

Thresholds belong to the parameters that they were set with. Each evaluation therefore
notes the training step of its parameters as 'step' in results.json.
"""

import pathlib
from collections.abc import Mapping

from uad_jax.evaluation.summary import Results


def noted(results: Results, step: int) -> Results:
  """Returns results with the training step of the evaluated parameters noted."""
  return results._replace(summary=results.summary | {'step': step})


def step_of(results: Mapping) -> int | None:
  """Returns the training step of the parameters that results were made with.

  Without a note it is the last step of the run's config, as only trainings that have
  ended are evaluated; None if that is unknown too.

  Args:
    results: Content of results.json.
  """
  if 'step' in results:
    return results['step']
  steps = results.get('run', {}).get('config', {}).get('steps')
  return None if steps is None else int(sum(steps))


def check(folder: pathlib.Path, results: Mapping, step: int) -> None:
  """Checks that the thresholds of a run were set with the parameters to be used.

  Args:
    folder: The run folder, for the error message.
    results: Content of its results.json.
    step: Training step of the newest checkpoint that can be read.

  Raises:
    ValueError: The results are of another step.
  """
  evaluated = step_of(results)
  if evaluated not in (None, step):
    raise ValueError(
      f'the newest checkpoint of {folder} that can be read is of step {step}, and the '
      f'thresholds in its results.json belong to step {evaluated}; run uad_jax.main '
      'with this --workdir again, which trains on from there and evaluates anew'
    )
