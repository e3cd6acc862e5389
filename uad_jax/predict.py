"""Command `uad-predict`: writes the anomaly maps of scans on their native voxel grids.

  python -m uad_jax.predict --checkpoint=runs/dae_unc --input=scan.nii.gz --output=maps

The maps are computed by a trained run (`--checkpoint`). The input is a file, a folder
of files or a BIDS folder, whose folders the results mirror. For each scan NAME are
written: NAME_anomaly.nii.gz (anomaly map), NAME_lesion.nii.gz (marked components),
NAME_reconstruction.nii.gz, NAME_gate.nii.gz where the method has a
gate, NAME_overlay.png and NAME.json. The tables scans.csv and lesions.csv and the page
index.html cover all scans.

A run that was trained on 2-D images (`image_folder`) takes pictures such as PNG files,
and folders of them, and writes NAME_anomaly.tiff (float32, on the pixels of the image),
NAME_lesion.png (0 and 255) and the like.

Components of voxels above a threshold of the run are marked if their p-value is at most
`--alpha`: so large a component is in at most a share alpha of healthy scans. With
`--percent=5` all voxels at or above the threshold that 5 % of healthy voxels exceed are
marked instead. A scan outside of the training domain is warned of; `--refuse` makes it
an error.

With `--online=STATE` the scans are a stream: the maps are filtered by the residuals
that recur in it, and the state, which is begun on the healthy scans of the run, is kept
in the file STATE. `--feedback=FILE.csv` passes answers of readers (columns identifier,
the path NAME of the results, and healthy, 0 or 1).

If the command is repeated, it skips the scans that are done. A scan that cannot be
used stops the command; with `--keep_going` it is skipped and listed at the end, and the
exit status is 1. Research software; not for clinical use.
"""

import os
import pathlib
import signal
import sys
from collections.abc import Mapping

import nibabel
from absl import flags

from uad_jax import cli
from uad_jax.data import workers
from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.prediction import batch, decision, feedback, online
from uad_jax.prediction.native_space import Prediction
from uad_jax.prediction.plan import Search, plan, search, takes_pictures
from uad_jax.prediction.scan_prediction import predict_prepared
from uad_jax.prediction.summary_lines import lines_of
from uad_jax.trained_run import TrainedRun, load

FLAGS = flags.FLAGS
MASKS = ('mask', 'labels', 'mask_pattern', 'labels_pattern')
"""Flags about files beside the scans."""


def predict(
  image: str | os.PathLike | nibabel.Nifti1Image,
  run: str | os.PathLike | TrainedRun,
  *,
  mask: str | os.PathLike | None = None,
  labels: str | os.PathLike | None = None,
  percent: str | None = None,
  alpha: float | None = None,
  refuse: bool = False,
) -> Prediction:
  """Computes the anomaly map and the lesion mask of one scan with a trained model.

  Inference, post-processing and threshold are those of the run's evaluation. A warning
  is issued if the scan is unlike the healthy validation scans of the run. The method
  `save` of the result writes its volumes in the space of the scan.

  Args:
    image: NIfTI file or nibabel image, 3-D; or a picture such as a PNG file, whose maps
      are volumes of one slice (`picture.from_volume` turns them into rows).
    run: Run folder of a finished run, or a run that `load` opened.
    mask: Brain mask on the scan's grid; without one it is estimated, with a warning.
    labels: Anatomy labels on the scan's grid, which also give the brain mask.
    percent: Marks all voxels at or above the threshold that this percentage of healthy
      voxels exceeds: '1', '5' or '10'. None marks components by their p-value.
    alpha: Largest p-value of a marked component: the share of healthy scans with
      anything marked; `decision.ALPHA` by default.
    refuse: Whether a scan outside of the training domain is an error.

  Raises:
    BadScan: The file cannot be used or is refused; the message says why.
    ValueError: The run has no such threshold, or percent and alpha are both given.
  """
  run = run if isinstance(run, TrainedRun) else load(run)
  rule = decision.choose(percent, alpha)
  check_percent(run, rule.percent)

  def prepare(scan):
    return preprocess.prepare_scan(scan, run.steps, mask=mask, labels=labels)

  # With one thread, as data sets are prepared and as the command does.
  prepared = workers.on_one_thread(prepare, image)
  return predict_prepared(prepared, run, rule, refuse)


def check_percent(run: TrainedRun, percent: str) -> None:
  """Checks that a run has a threshold at a percentage of healthy voxels.

  Raises:
    ValueError: The run has no such threshold.
  """
  if percent not in run.thresholds:
    raise ValueError(
      f"run {run.folder} has no threshold at '{percent}' % of healthy voxels; "
      f'there are {", ".join(run.thresholds)}'
    )


def check_masks(scans: Search, options: Mapping[str, str]) -> None:
  """Checks the mask and label flags of the command against the number of scans.

  Args:
    scans: Scans of the input.
    options: Values of the mask and label flags, by flag name.

  Raises:
    ValueError: A flag names one file for several scans, or is set together with the
      flag for a pattern of files.
  """
  for kind, end in (('mask', 'mask'), ('labels', 'dseg')):
    if options[kind] and options[f'{kind}_pattern']:
      raise ValueError(f'--{kind} and --{kind}_pattern exclude each other; give one')
    if options[kind] and len(scans.names) > 1:
      raise ValueError(
        f'--{kind} goes with one scan; --input has {len(scans.names)}: give '
        f"--{kind}_pattern, such as 'derivatives/**/{{id}}*_{end}.nii.gz'"
      )


def main(_: list[str]) -> None:
  """Computes and writes the anomaly maps of all scans in `--input`.

  Raises:
    BadScan: `--mask_pattern` matches no mask or several masks for a scan.
  """
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  rule = decision.choose(FLAGS.percent, FLAGS.alpha)
  online.check_options(FLAGS.online, FLAGS.percent, FLAGS.alpha, FLAGS.feedback)
  answers = feedback.read(FLAGS.feedback)
  pictures = takes_pictures(FLAGS.checkpoint)
  scans = search(FLAGS.input, FLAGS.pattern, pictures)
  options = {name: getattr(FLAGS, name) for name in MASKS}
  check_masks(scans, options)
  folder = pathlib.Path(FLAGS.output)
  tasks = plan(scans, folder, options['mask_pattern'], options['labels_pattern'])
  problems = [task.problem for task in tasks if task.problem]
  if problems and not FLAGS.keep_going:
    more = len(problems) - 1
    others = f'; {more} other scans have such problems' if more else ''
    raise nifti.BadScan(problems[0] + others)
  for kind in ('mask', 'labels'):
    if options[kind]:
      tasks = [tasks[0]._replace(**{kind: pathlib.Path(options[kind])})]
  if scans.results:
    print(f'{len(scans.results)} results of predict in {FLAGS.input} are left out')
  if beside := len(scans.names) - len(tasks):
    print(f'{beside} masks and labels of scans in {FLAGS.input} are left out')
  for place in scans.unreadable:
    print(f'{place} cannot be read and is left out')
  run = load(FLAGS.checkpoint, FLAGS.scorer or None)
  check_percent(run, rule.percent)
  processes = batch.default_workers() if FLAGS.workers is None else FLAGS.workers
  with online.opened(FLAGS.online, run, tasks, processes) as session:
    work = batch.Batch(run, folder, rule, FLAGS.keep_going, FLAGS.refuse, session)
    work.answer(answers, tasks)
    summary = work.predict(tasks, processes)
  print('\n'.join(lines_of(summary, len(tasks), folder)))
  if summary.failed:
    sys.exit(1)


def define_flags() -> None:
  """Defines the command-line flags of `uad-predict`."""
  flags.DEFINE_string('checkpoint', None, 'Run folder of a finished run.')
  flags.DEFINE_string('input', None, 'Scan, folder of scans or BIDS folder.')
  flags.DEFINE_string('output', None, 'Folder for the results.')
  flags.DEFINE_string('pattern', '', 'Glob pattern of the scans below a folder.')
  flags.DEFINE_string('mask', '', "Brain mask on the scan's grid.")
  flags.DEFINE_string('labels', '', "Anatomy labels on the scan's grid.")
  flags.DEFINE_string(
    'mask_pattern',
    '',
    'Glob pattern below the input of the brain masks; {id} is the BIDS subject and '
    "session of a scan, or its name: 'derivatives/**/{id}*_mask.nii.gz'.",
  )
  flags.DEFINE_string('labels_pattern', '', 'The same for anatomy labels.')
  flags.DEFINE_integer(
    'workers',
    None,
    'Processes that preprocess scans beside the inference; by default one a core.',
    lower_bound=1,
  )
  flags.DEFINE_string('scorer', '', 'Anomaly map of the run; its default map if empty.')
  flags.DEFINE_float(
    'alpha',
    None,
    'Largest p-value of a marked component, which is the share of healthy scans with '
    f'anything marked; {decision.ALPHA} by default.',
  )
  flags.DEFINE_string(
    'percent',
    '',
    'Mark all voxels at or above a threshold instead: that of 1, 5 or 10 % of healthy '
    'voxels.',
  )
  flags.DEFINE_string(
    'online',
    '',
    'File with the state of a stream, which then decides; made if it is missing.',
  )
  flags.DEFINE_string('feedback', '', 'CSV file with answers of readers for --online.')
  flags.DEFINE_bool('refuse', False, 'Refuse scans outside of the training domain.')
  flags.DEFINE_bool(
    'keep_going', False, 'Leave bad scans out and list them at the end.'
  )
  flags.mark_flags_as_required(['checkpoint', 'input', 'output'])


def command() -> None:
  """Entry point of the command `uad-predict`: defines its flags and runs `main`."""
  define_flags()
  cli.run(main)


if __name__ == '__main__':
  command()
