"""The main job: data, training, evaluation, report.

  python -m uad_jax.main --config=configs/dae_unc.py --workdir=runs/dae_unc

A second call goes on where the first stopped and skips what exists.
"""

from absl import flags
from ml_collections import config_flags

from uad_jax import cli, parallel, run_folder

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with an argument after a colon.'
)
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')
UNTIL = flags.DEFINE_enum(
  'until', run_folder.PARTS[-1], run_folder.PARTS, 'Last part of the job to do.'
)


def main(_: list[str]) -> None:
  """Does the job and prints its table."""
  text = run_folder.run(CONFIG.value, WORKDIR.value, UNTIL.value)
  if parallel.leads():
    print(text)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main)
