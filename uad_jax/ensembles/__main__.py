r"""Command that joins finished runs to a deep ensemble and evaluates it.

  python -m uad_jax.ensembles --runs=runs/ae-0,runs/ae-1,runs/ae-2 \
    --workdir=runs/ae-ensemble

The runs are trainings of one config with different seeds. The ensemble is a run folder
like any other. Rows of its report are those of the runs and, of the uncertainty of the
members, `members` and `members_deviation`.
"""

from absl import flags

from uad_jax import cli, parallel, run_folder
from uad_jax.ensembles.join import join

FLAGS = flags.FLAGS

MEMBERS = {
  'members': dict(scorer='uncertainty', estimator='members'),
  'members_deviation': dict(
    scorer='uncertainty', estimator='members', kind='deviation', sign='absolute'
  ),
}
"""Scorers that the joined run has besides those of its members."""


def main(_: list[str]) -> None:
  """Joins the runs of `--runs`, evaluates the ensemble and prints the results."""
  config = join(FLAGS.runs, FLAGS.workdir)
  config.scores.update(MEMBERS)
  text = run_folder.run(config, FLAGS.workdir)
  if parallel.leads():
    print(text)


def define_flags() -> None:
  """Defines the command-line flags."""
  flags.DEFINE_list('runs', None, 'Run folders, separated by commas.')
  flags.DEFINE_string('workdir', None, 'Run folder of the ensemble, to be made.')
  flags.mark_flags_as_required(['runs', 'workdir'])


if __name__ == '__main__':
  define_flags()
  cli.run(main)
