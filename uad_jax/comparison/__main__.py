r"""Command that studies how runs cope with scans of other scanners.

  python -m uad_jax.comparison --runs=runs/dae_unc_ixi --target=novosibirsk \
    --adaptations=recalibration,histogram,voxel_moments,finetune:moments \
    --subjects=1,3,5 --draws=3            does the trials that have no record yet
  python -m uad_jax.comparison --study=blind_spot --runs=runs/dae_unc_ixi,runs/vae_ixi \
    --target=novosibirsk,ucla             asks which scores take a scanner for a lesion
  python -m uad_jax.comparison --study=stream --runs=runs/dae_unc_ixi \
    --stream=data/ixi_more_mixture        learns what recurs in streams of scans
  python -m uad_jax.comparison --study=picture --runs=runs/dae_unc_ixi \
    --target=novosibirsk,ucla --adaptations=voxel_moments:support --subjects=5,3
                                          draws a head of each scanner, before and after
  python -m uad_jax.comparison --study=registration --runs=runs/moment_registration \
    --target=data/ixi_lesions,data/ixi_mixture
                                          measures a field beside negative controls
  python -m uad_jax.comparison --render   writes the pages robustness and registration

Target scans are the folders data/TARGET_lesions, those of the training scanner
data/ixi_mixture, both written by `python -m uad_jax.prepare lesions` (README.md); or
splits of a data set, as for a run on simulated scans:

  python -m uad_jax.comparison --study=blind_spot --runs=runs/atlas --home=sim_brain \
    --target=sim_brain/test_b,sim_brain/test_c,sim_brain/test_d

Records are kept in docs/runs/few_shot.jsonl, docs/runs/blind_spot.jsonl,
docs/runs/stream.jsonl and docs/runs/registration.jsonl; none is made twice.
"""

import pathlib

from absl import flags

from uad_jax import cli
from uad_jax.comparison import (
  blind_spot_study,
  few_shot_record,
  few_shot_study,
  registration_page,
  registration_picture,
  registration_study,
  robustness_page,
  scanners_picture,
  stream_study,
)
from uad_jax.prediction import calibration
from uad_jax.report.atomic_files import write_atomically, write_text
from uad_jax.trained_run import open_run

FLAGS = flags.FLAGS
RECORDS = pathlib.Path('docs/runs')
PICTURE = 'docs/figures/scanners.png'
STUDIES = ('few_shot', 'blind_spot', 'stream', 'registration', 'picture')


def main(_: list[str]) -> None:
  """Does a study, or writes the page with `--render`.

  Raises:
    ValueError: No run is named.
  """
  if FLAGS.render:
    pages = {'robustness.md': robustness_page, 'registration.md': registration_page}
    for name, of in pages.items():
      path = pathlib.Path(FLAGS.output) / name
      write_text(path, of.page(RECORDS))
      print(path)
    for record in registration_page.newest(RECORDS):
      path = pathlib.Path(FLAGS.output) / registration_page.figure_of(record['target'])
      content = registration_picture.picture(record)
      write_atomically(path, lambda file, content=content: file.write(content))
      print(path)
    return
  if not FLAGS.runs:
    raise ValueError('--runs is empty; give the folders of finished runs')
  if FLAGS.study == 'registration':
    for run in FLAGS.runs:
      targets = {name.removeprefix('data/'): name for name in FLAGS.target}
      path = RECORDS / registration_page.NAME
      registration_study.study(pathlib.Path(run), targets, path)
    return
  for run in map(pathlib.Path, FLAGS.runs):
    # Scans of the studies come without masks; runs of the benchmark know given ones.
    calibration.after_training(open_run(run).config, str(run))
  folders = {
    name: name if '/' in name else f'data/{name}_lesions' for name in FLAGS.target
  }
  if FLAGS.study == 'blind_spot':
    for run in FLAGS.runs:
      path = RECORDS / 'blind_spot.jsonl'
      blind_spot_study.study(
        pathlib.Path(run),
        FLAGS.home,
        folders,
        path,
        scorer=FLAGS.scorer,
        most=FLAGS.shifted,
      )
    return
  if FLAGS.study == 'stream':
    for run in FLAGS.runs:
      path = RECORDS / 'stream.jsonl'
      stream_study.study(pathlib.Path(run), FLAGS.stream, FLAGS.home, path)
    return
  counts = [int(count) for count in FLAGS.subjects]
  if FLAGS.study == 'picture':
    draw(pathlib.Path(FLAGS.runs[0]), folders, counts)
    return
  wanted = few_shot_study.trials(FLAGS.adaptations, counts, FLAGS.draws)
  for run in FLAGS.runs:
    for name, source in folders.items():
      few_shot_study.study(
        pathlib.Path(run),
        few_shot_record.Target(name, source, FLAGS.home),
        wanted,
        RECORDS / 'few_shot.jsonl',
        pathlib.Path(FLAGS.workdir),
      )


def draw(run: pathlib.Path, folders: dict[str, str], counts: list[int]) -> None:
  """Draws a healthy head of each scanner before and after the first adaptation.

  Args:
    run: Source run.
    folders: Folder of the scans of each target.
    counts: Number of subjects that each target's run was adapted to.
  """
  rows = scanners_picture.healthy_rows({'training scanner': run}, FLAGS.home)
  for (name, folder), count in zip(folders.items(), counts, strict=True):
    trial = few_shot_record.Trial(FLAGS.adaptations[0], count, 0)
    label = few_shot_study.label_of(run, name, trial)
    adapted = pathlib.Path(FLAGS.workdir) / label
    runs = {f'{name}, before': run, f'{name}, after': adapted}
    rows += scanners_picture.healthy_rows(runs, folder)
  content = scanners_picture.picture(rows)
  write_atomically(pathlib.Path(PICTURE), lambda file: file.write(content))
  print(PICTURE)


def define_flags() -> None:
  """Defines the command-line flags of the studies."""
  flags.DEFINE_enum('study', 'few_shot', STUDIES, 'Study to do.')
  flags.DEFINE_list('runs', [], 'Folders of finished runs.')
  flags.DEFINE_list('target', ['novosibirsk'], 'Target scans, NAME or DATA_SET/SPLIT.')
  flags.DEFINE_string('home', 'data/ixi_mixture', 'Test scans of the training scanner.')
  flags.DEFINE_string('stream', 'data/ixi_more_mixture', 'Heads of the streams.')
  flags.DEFINE_list('adaptations', [], 'Configs of configs/adapt, NAME or NAME:ARG.')
  flags.DEFINE_list('subjects', ['5'], 'Numbers k of target subjects.')
  flags.DEFINE_integer('draws', 1, 'Draws of the k subjects.', lower_bound=1)
  flags.DEFINE_string('scorer', '', 'Map of the blind spot; the default one if empty.')
  flags.DEFINE_integer(
    'shifted', None, 'Healthy source scans to shift; all if not given.', lower_bound=1
  )
  flags.DEFINE_string('workdir', 'runs/few_shot', 'Folder of the adapted runs.')
  flags.DEFINE_bool('render', False, 'Do no trial; write the page.')
  flags.DEFINE_string('output', 'docs', 'Folder of the pages.')


def command() -> None:
  """Entry point: defines the flags and runs `main`."""
  define_flags()
  cli.run(main)


if __name__ == '__main__':
  command()
