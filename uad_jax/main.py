r"""Command `uad-train`: prepares data, trains a method, evaluates it, writes a report.

  python -m uad_jax.main --config=configs/dae_unc.py --workdir=runs/dae_unc
  python -m uad_jax.main --config=configs/dae_unc.py --workdir=runs/dae_unc \
    --evaluate=brats --evaluate_options="source='DIR'; contrast='flair'"

A second call goes on where the first stopped and skips what exists. `--evaluate` names
another data set to evaluate on, NAME or NAME/SPLIT, or a folder of NIfTI files; a
finished run is not trained again, and its thresholds and default map are used.
"""

from absl import flags
from ml_collections import config_flags

from uad_jax import cli, parallel, run_folder
from uad_jax.other_cohort import evaluate_elsewhere
from uad_jax.prediction import calibration
from uad_jax.registry import assignments

FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
  """Trains and evaluates the method of `--config`, and prints the result table."""
  text = ''
  if not (FLAGS.evaluate and run_folder.is_finished(FLAGS.config, FLAGS.workdir)):
    text = run_folder.run(FLAGS.config, FLAGS.workdir, FLAGS.until)
    if FLAGS.until == run_folder.PARTS[-1]:
      calibration.after_training(FLAGS.config, FLAGS.workdir)
  if FLAGS.evaluate:
    changes = assignments(FLAGS.evaluate_options)
    text = evaluate_elsewhere(FLAGS.workdir, FLAGS.evaluate, changes)
  if parallel.leads():
    print(text)


def define_flags() -> None:
  """Defines the command-line flags of `uad-train`."""
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Config: a file, or the name of a shipped one; :ARGUMENT may follow.',
  )
  flags.DEFINE_string('workdir', None, 'Run folder.')
  flags.DEFINE_enum(
    'until', run_folder.PARTS[-1], run_folder.PARTS, 'Last part of the job to do.'
  )
  flags.DEFINE_string(
    'evaluate', '', 'Evaluate the run on this data set or folder as well.'
  )
  flags.DEFINE_string(
    'evaluate_options',
    '',
    "Options of that data set, as \"contrast='t2'; split='val'\".",
  )
  flags.mark_flags_as_required(['config', 'workdir'])


def command() -> None:
  """Entry point of the command `uad-train`: defines its flags and runs `main`."""
  define_flags()
  cli.run(main)


if __name__ == '__main__':
  command()
