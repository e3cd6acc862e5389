r"""Command `uad-adapt`: adapts a trained model to healthy scans of another scanner.

  python -m uad_jax.adapt --run=runs/dae_unc --config=configs/adapt/voxel_moments.py \
    --source=DIR_OF_HEALTHY_TARGET_SCANS --subjects=5 --workdir=runs/adapted

The adapted run is a run folder, which `uad_jax.predict --checkpoint` and
`uad_jax.main --evaluate` take like any other; its config.json names the source run and
the target scans (keys `start` and `data`). The training data of the source run are not
needed, unless the adaptation sees source scans too (`sees_source` in its config).

`--source` is a folder of NIfTI files, or a data set (NAME or NAME/SPLIT). Where its
table of subjects names splits, those of the split 'few_shot' serve for the adaptation
and those of 'test' are evaluated; without such a table all subjects serve for the
adaptation, and the report shows these scans. Brain masks of a folder are estimated, as
`predict` does; where `--data_options="patterns={'labels': GLOB}"` (or 'mask') names
their files, the thresholds are those of scans with such masks. Lesions in the target
scans are refused.
"""

from absl import flags
from ml_collections import config_flags

from uad_jax import cli, parallel, registry
from uad_jax.few_shot.adapt import adapt

FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
  """Adapts the model of `--run` to the scans of `--source` and prints the results."""
  text = adapt(
    FLAGS.run,
    FLAGS.config,
    FLAGS.source,
    FLAGS.workdir,
    FLAGS.subjects,
    FLAGS.draw,
    registry.assignments(FLAGS.data_options),
    FLAGS.allow_lesions,
  )
  if parallel.leads():
    print(text)


def define_flags() -> None:
  """Defines the command-line flags of `uad-adapt`."""
  config_flags.DEFINE_config_file('config', None, 'Config of configs/adapt.')
  flags.DEFINE_string('run', None, 'Run folder of the source run.')
  flags.DEFINE_string('source', None, 'Folder or data set of healthy target scans.')
  flags.DEFINE_string('workdir', None, 'Run folder of the adapted run, to be made.')
  flags.DEFINE_integer('subjects', None, 'Target subjects to use; all by default.')
  flags.DEFINE_integer('draw', 0, 'Seed by which the target subjects are drawn.')
  flags.DEFINE_string(
    'data_options', '', 'Options of the target data set, as "contrast=\'t2\'".'
  )
  flags.DEFINE_bool('allow_lesions', False, 'Accept target scans with lesion masks.')
  flags.mark_flags_as_required(['config', 'run', 'source', 'workdir'])


def command() -> None:
  """Entry point of the command `uad-adapt`: defines its flags and runs `main`."""
  define_flags()
  cli.run(main)


if __name__ == '__main__':
  command()
