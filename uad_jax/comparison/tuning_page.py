"""Functions that write docs/tuning.md, the page with the results of all tuning trials.

A trial is one training with changed settings, stored as a dict that `tune.run_trial`
returns. docs/tuning.jsonl keeps the trials of all machines, one JSON line each, with
the settings that it was 'trained' with.
"""

import itertools
import json
import pathlib

from uad_jax import registry
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.report import atomic_files
from uad_jax.report.tables import markdown, number

RECORDS = 'tuning.jsonl'
"""File beside docs/tuning.md with one JSON line for each tuning trial."""

HEAD = """# Settings tried

Written by `python -m uad_jax.tune --render` from stored trials. Each was chosen, if it
was, by the pooled AUPRC of its best map over validation scans with lesions; test scans
were not read. Minutes are those of the training, on one core that other jobs used too.
The first column names the keys in which a trial differs from today's config.
"""


def changes_from(today: dict, trained: dict) -> str:
  """Lists the training settings of a tuning trial that differ from today's config.

  Args:
    today: Today's config, in the form of `registry.plain`.
    trained: Config that the trial was trained with, in the same form.

  Returns:
    'KEY=VALUE; KEY=VALUE' with the values of the trial; '' if nothing differs.
  """
  trained, today = (
    registry.without(config, *registry.AFTER_TRAINING) for config in (trained, today)
  )
  differences = registry.differences(trained, today, 'absent')
  return '; '.join(f'{key}={value}' for key, value, _ in differences)


def label(name: str, scores: dict, today: dict) -> str:
  """Returns the label of an anomaly map of a tuning trial, for the table of trials.

  The label is the name of the map and those of its options that differ from `scores`
  of today's config. A name that the config lacks is replaced by the first name in
  `scores` with the same scorer. Older trials did not keep the options.

  Args:
    name: Name of the map in the trial.
    scores: Options of the maps of the trial, by name; empty for an older trial.
    today: `scores` of today's config.

  Returns:
    Label such as 'residual' or 'restoration (steps=5)'.
  """
  if name not in scores:
    has_options = not set(today.get(name, ())) <= {'scorer'}
    return f'{name} (options not kept)' if has_options else name
  options = scores[name]
  if options == today.get(name):
    return name
  alike = [row for row in today if today[row]['scorer'] == options['scorer']]
  row = name if name in today else next(iter(alike), options['scorer'])
  differences = registry.differences(options, today.get(row, {}), 'absent')
  changes = ', '.join(f'{key}={v}' for key, v, _ in differences if key != 'scorer')
  return f'{row} ({changes})' if changes else row


def table(trials: list[dict]) -> str:
  """Renders a Markdown table of the tuning trials of one config, the best trial first.

  Args:
    trials: Trials as `run_trial` returns them, each with its 'changes' as text.
  """
  rows = []
  for trial in sorted(trials, key=lambda trial: -max(trial['auprc'].values())):
    maps = sorted(trial['auprc'].items(), key=lambda item: -item[1])
    auprc = ', '.join(f'{name} {number(value)}' for name, value in maps)
    minutes = f'{trial.get("seconds", 0) / 60:.1f}'
    changes = trial['changes'] or 'as it is'
    rows.append([changes, auprc, str(trial.get('steps', 0)), minutes])
  return markdown(('changes', 'AUPRC on validation', 'steps', 'minutes'), rows)


def finished_trials(runs: pathlib.Path) -> list[dict]:
  """Reads all finished tuning trials from disk, each with its training settings.

  The folder of a training (run folder) holds a file for each of its trials.

  Args:
    runs: Folder that holds the run folders.

  Returns:
    Trials, the settings as their entry 'trained'.
  """
  trials = []
  for path in sorted(runs.glob('*/trial-*.json')):
    config = json.loads((path.parent / 'config.json').read_text())
    trained = registry.without(config, *registry.AFTER_TRAINING)
    trials.append(json.loads(path.read_text()) | {'trained': trained})
  return trials


def merge(kept: list[dict], fresh: list[dict]) -> list[dict]:
  """Adds new tuning trials to stored ones, replacing trials with the same settings.

  The same settings are the same training and the same options of the maps. A stored
  trial whose options are unknown ('scores' is empty) is replaced by any new trial of
  the same training.

  Args:
    kept: Stored trials, from docs/tuning.jsonl.
    fresh: New trials, from `finished_trials`.
  """

  def replaced(old):
    return any(
      all(old[key] == new[key] for key in ('config', 'trained'))
      and old['scores'] in ({}, new['scores'])
      for new in fresh
    )

  return [trial for trial in kept if not replaced(trial)] + fresh


def compared_with_today(trial: dict) -> dict:
  """Adds a description of the changed training settings to a tuning trial.

  The new entry 'changes' lists the settings that differ from today's config. The
  anomaly maps of the trial are renamed by `label`.

  Args:
    trial: Trial with 'trained', as docs/tuning.jsonl keeps it.
  """
  name, data = trial['config'].split(':')
  today = registry.plain(read_config(name, data))
  changes = changes_from(today, trial['trained'])
  auprc = {
    label(row, trial['scores'], today['scores']): value
    for row, value in trial['auprc'].items()
  }
  return trial | {'changes': changes, 'auprc': auprc}


def render(runs: pathlib.Path, output: pathlib.Path) -> None:
  """Writes the page about all settings tried, and a JSON lines file of the trials.

  Args:
    runs: Folder that holds the run folders.
    output: Path of the page.

  Raises:
    FileNotFoundError: There is no trial.
  """
  records = output.with_name(RECORDS)
  lines = records.read_text().splitlines() if records.exists() else []
  trials = merge([json.loads(line) for line in lines], finished_trials(runs))
  if not trials:
    raise FileNotFoundError(f'{runs} holds no trial, and there is no {records}')
  trials.sort(key=lambda trial: trial['config'])
  parts = [HEAD]
  for config, group in itertools.groupby(trials, lambda trial: trial['config']):
    compared = [compared_with_today(trial) for trial in group]
    data = ', '.join(dict.fromkeys(trial['manifest'][:12] for trial in compared))
    parts.append(f'## {config}\n\nData {data}.\n\n{table(compared)}\n')
  atomic_files.write_text(
    records, ''.join(f'{json.dumps(trial)}\n' for trial in trials)
  )
  atomic_files.write_text(output, '\n'.join(parts))
