"""Functions that describe the data of a run, for model.json of its run folder."""

from typing import Any

from uad_jax import experiment as experiments
from uad_jax.data import manifest, mixing
from uad_jax.experiment import Experiment
from uad_jax.method import TARGET


def describe(experiment: Experiment) -> dict[str, Any]:
  """Describes the data of an experiment as a dict, the content of model.json.

  The entries are the spatial shape and number of channels of a record, the
  preprocessing steps, the distance between evaluated slices, the names of the data
  sets, a hash of all of them and one of each, and the size of the training split.
  Prediction and result tables use them.
  """
  builder = described_builder(experiment)
  *shape, channels = builder.info.features['image'].shape
  return {
    'shape': shape,
    'channels': channels,
    'steps': builder.scan_steps(),
    'slice_step': builder.slice_step(),
    'data': ' + '.join(b.info.full_name for b in experiment.builders.values()),
    'manifest': experiments.digest(experiment),
    'digests': {name: b.digest() for name, b in experiment.builders.items()},
    'training': training_size(experiment),
    **adapted_to(experiment),
  }


def adapted_to(experiment: Experiment) -> dict[str, list[str]]:
  """Lists the hashes of the target scans of an adapted run as 'adapted_to', or {}."""
  if experiment.config.get('few_shot') is None:
    return {}
  records = experiments.split_records(experiment, TARGET)
  subjects = {records[i]['subject'] for i in range(len(records))}
  volumes = manifest.read(described_builder(experiment).data_dir)['volumes']
  (term,) = mixing.parse(experiment.config.data.few_shot)
  used = [v for v in volumes if v['split'] == term.split and v['subject'] in subjects]
  return {'adapted_to': [sha for v in used for sha in manifest.hashes(v)]}


def training_size(experiment: Experiment) -> dict[str, int]:
  """Counts the subjects and the records (slices or volumes) of the training split."""
  split = experiment.config.data.train
  subjects = {
    (term.data, volume['subject'])
    for term in mixing.parse(split)
    for volume in manifest.read(experiment.builders[term.data].data_dir)['volumes']
    if volume['split'] == term.split
  }
  return {'subjects': len(subjects), 'records': len(experiment.records(split))}


def described_builder(experiment: Experiment) -> Any:
  """Returns the TFDS builder whose preprocessing new scans get.

  It is that of the first data set of the training, or of the target scans of an adapted
  run.
  """
  if experiment.config.get('few_shot') is None:
    return mixing.first(experiment.builders)
  (term,) = mixing.parse(experiment.config.data.few_shot)
  return experiment.builders[term.data]
