"""Functions that record and check the training step at which a model was evaluated.

Thresholds are valid only for the network parameters with which they were set. Each
evaluation therefore records the training step of these parameters, as 'step' in
results.json.
"""

import pathlib
from collections.abc import Mapping

from uad_jax.evaluation.summary import Results


def noted(results: Results, step: int) -> Results:
  """Adds the training step of the evaluated parameters to evaluation results."""
  return results._replace(summary=results.summary | {'step': step})


def step_of(results: Mapping) -> int | None:
  """Returns the training step of the parameters that an evaluation used.

  If the results have no entry 'step', this is the last training step by the run's
  config, since evaluation follows the end of training.

  Args:
    results: Content of results.json.

  Returns:
    The training step, or None if the results have neither the entry nor the config.
  """
  if 'step' in results:
    return results['step']
  steps = results.get('run', {}).get('config', {}).get('steps')
  return None if steps is None else int(sum(steps))


def check(folder: pathlib.Path, results: Mapping, step: int) -> None:
  """Checks that the thresholds of a run belong to its newest readable checkpoint.

  Args:
    folder: Run folder, for the error message.
    results: Content of results.json in the run folder.
    step: Training step of the newest checkpoint that can be read.

  Raises:
    ValueError: The thresholds were set at another training step.
  """
  evaluated = step_of(results)
  if evaluated not in (None, step):
    raise ValueError(
      f'the newest checkpoint of {folder} that can be read is of step {step}, and the '
      f'thresholds in its results.json belong to step {evaluated}; run uad_jax.main '
      'with this --workdir again, which trains on from there and evaluates anew'
    )
