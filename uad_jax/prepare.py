"""Command `uad-prepare`: lists, builds, checks and documents data sets.

  python -m uad_jax.prepare list                        names all, and those prepared
  python -m uad_jax.prepare list ixi                    tells how to get one
  python -m uad_jax.prepare build ixi --source=DIR      preprocesses and writes it
  python -m uad_jax.prepare check ixi                   looks for errors in it
  python -m uad_jax.prepare splits ixi --source=DIR     assigns subjects to splits
  python -m uad_jax.prepare table                       writes docs/datasets.md

`lesions` inserts lesions with the shapes of real strokes into healthy scans:

  python -m uad_jax.prepare lesions --source=../shared/data/ixi_t1_2mm \
    --masks=../shared/data/stroke_masks_mni --output=data/ixi_lesions

Each subcommand is a function of this module; `parser` defines its arguments.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from absl import logging

import uad_jax
from uad_jax.data import manifest
from uad_jax.data.cohorts import (
  audit,
  cohort,
  cohort_builder,
  download,
  layout,
  lesion_cohort,
  splits,
)
from uad_jax.data.cohorts.lesion_mechanisms import MECHANISMS
from uad_jax.data.preprocessing import presets
from uad_jax.datasets import catalogue, option_checks
from uad_jax.report import datasets, gallery
from uad_jax.report.atomic_files import write_text


class Failed(ValueError):
  """Error raised after a data check that found and printed faults."""


def list_(options: argparse.Namespace) -> None:
  """Lists all data sets, or tells how to get one of them."""
  if options.name:
    print(catalogue.cohort(options.name).instructions)
    return
  ready = catalogue.prepared(options.data_dir)
  rows = [('name', 'subjects', 'kind', 'contrasts', 'licence', 'where to get it')]
  for dataset in catalogue.cohorts():
    kind = 'healthy' if dataset.healthy else dataset.pathology
    size, contrasts = str(dataset.subjects), ' '.join(dataset.contrasts)
    source = (dataset.licence, dataset.homepage)
    rows.append((dataset.name, size, kind, contrasts, *source))
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    print('  '.join(cells).rstrip())
  print('sim_brain (simulated) and nifti_folder (your own) need no download.')
  print(f'\nprepared in {options.data_dir}:' if ready else '\nnothing is prepared here')
  for dataset in ready:
    scans = ', '.join(f'{split} {n}' for split, n in dataset.scans.items())
    print(f'  {dataset.name}/{dataset.config}: {scans}')


def build(options: argparse.Namespace) -> None:
  """Preprocesses a data set and writes it to disk; resumes an interrupted build.

  Raises:
    ValueError: Neither `--source` nor `--download` is given, or an option is wrong.
  """
  dataset = catalogue.cohort(options.name)
  settings = {
    name: getattr(options, name)
    for name in (
      'contrast', 'form', 'preset', 'shape', 'spacing', 'brain', 'bias', 'atlas',
      'lesion_values', 'tree', 'keep_going', 'workers', 'beam',
    )
  }  # fmt: skip
  for name in option_checks.CHECKS.keys() & settings.keys():
    option_checks.CHECKS[name](f'--{name}', settings[name])
  source = options.source
  if options.download:
    contrast = options.contrast or dataset.contrasts[0]
    source = download.fetch(dataset, contrast, options.data_dir)
  elif not source:
    raise ValueError(
      f'give the folder by --source; `list {dataset.name}` tells how to get it'
    )
  data_dir = pathlib.Path(options.data_dir).resolve()
  open_builder = catalogue.module(options.name).open_builder
  builder = open_builder(data_dir, source=source, **settings).up_to_date()
  if pathlib.Path(builder.data_dir, manifest.NAME).is_file():
    print('it is there already; remove the folder to build it anew', file=sys.stderr)
  builder.download_and_prepare()
  print(builder.data_dir)


def check(options: argparse.Namespace) -> None:
  """Checks prepared data sets: prints findings, writes a gallery of each.

  Raises:
    ValueError: No such data set is prepared.
    Failed: The check found faults.
  """
  ready = catalogue.prepared(options.data_dir, options.name)
  ready = [dataset for dataset in ready if options.config in dataset.config]
  if not ready:
    raise ValueError(
      f"{options.data_dir} has no prepared '{options.name}' with '{options.config}' in "
      'the name of its config; build it first'
    )
  count = 0
  for dataset in ready:
    title = f'{dataset.name}/{dataset.config}'
    looks, findings = audit.run(dataset.folder)
    for finding in findings:
      print(f'{title}: {finding.scan} {finding.sentence}')
    page = gallery.write(dataset.folder / 'gallery.html', title, looks, findings)
    print(f'{title}: {len(looks)} scans, {len(findings)} findings, {page}')
    count += len(findings)
  if count:
    raise Failed(f'{count} findings')


def splits_(options: argparse.Namespace) -> None:
  """Assigns the subjects of a cohort to splits and writes the list."""
  dataset = catalogue.cohort(options.name)
  contrast, source = options.contrast or dataset.contrasts[0], options.source
  scans, _ = cohort.find(source, dataset, contrast, options.tree)
  patients = splits.ill(scans) if dataset.healthy else set()
  dealt = splits.deal({scan.subject for scan in scans} - patients, dataset.fractions)
  target = options.output or cohort_builder.folder_of(dataset.name) / 'splits.txt'
  splits.write(dealt, target, f'python -m uad_jax.prepare splits {dataset.name}')
  for split in dataset.fractions:
    print(f'{split}: {sum(s == split for s in dealt.values())} subjects')
  print(target)


def table(options: argparse.Namespace) -> None:
  """Writes docs/datasets.md, the description of all data sets."""
  target = pathlib.Path(options.output)
  write_text(target, datasets.page(catalogue.cohorts(), target.parent))
  print(target)


def lesions(options: argparse.Namespace) -> None:
  """Copies a BIDS folder of healthy scans and adds scans with inserted lesions."""
  report = lesion_cohort.write(
    options.source,
    options.masks,
    options.output,
    layout.bids(image=options.image, labels=options.labels),
    options.split,
    options.seed,
    options.share,
    options.mechanism,
  )
  for split, numbers in report.items():
    print(
      f'{split}: {numbers["subjects"]} subjects with lesions in '
      f'{numbers["prevalence"]:.2%} of the brain'
    )
  print(options.output)


def parser() -> argparse.ArgumentParser:
  """Makes the argument parser of `uad-prepare` with all its subcommands."""
  result = argparse.ArgumentParser(prog='python -m uad_jax.prepare')
  commands = result.add_subparsers(required=True, metavar='COMMAND')

  def command(name, run):
    subparser = commands.add_parser(name, help=run.__doc__.splitlines()[0])
    subparser.set_defaults(run=run)
    return subparser.add_argument

  add = command('list', list_)
  add('name', nargs='?', default='')
  add('--data_dir', default='data')

  add = command('build', build)
  add('name')
  add('--source', default='', help="folder of the provider's files, unpacked")
  add('--download', action='store_true', help='fetch it, where the licence allows it')
  add('--data_dir', default='data', help='folder of prepared data sets')
  add('--contrast', default='', help="the cohort's first by default")
  add('--form', default=presets.SLICES, choices=presets.FORMS)
  add('--preset', default=presets.DEFAULT, choices=list(presets.PRESETS))
  add('--shape', type=int, nargs='+', default=(), help='shape of a record, in voxels')
  add('--spacing', type=float, default=0.0, help='voxel size, in mm')
  add('--brain', default='auto', help='auto, template, otsu, hd_bet, synthstrip, ...')
  add('--bias', default='', choices=('', 'own', 'n4', 'none'))
  add('--atlas', default='', help='skull-stripped T1 template to align to, as SRI24')
  add('--lesion_values', type=int, nargs='+', default=(), help='labels that are lesion')
  add('--tree', default='', help='release, where the folder holds several')
  add('--keep_going', action='store_true', help='leave bad scans out and list them')
  add('--workers', type=int, default=2, help='number of processes')
  add('--beam', action='store_true', help='build by Apache Beam, see UAD_BEAM')

  add = command('check', check)
  add('name')
  add('--config', default='', help='part of the name of the config')
  add('--data_dir', default='data')

  add = command('splits', splits_)
  add('name')
  add('--source', required=True)
  for name in ('--contrast', '--tree'):
    add(name, default='')
  add('--output', default='', help='the list beside the builder by default')

  add = command('table', table)
  add('--output', default='docs/datasets.md')

  add = command('lesions', lesions)
  add('--source', required=True, help='BIDS folder of healthy scans')
  add('--masks', required=True, help='folder of lesion masks in MNI space')
  add('--output', required=True, help='folder to write')
  add('--split', default='test', help='split whose subjects get lesions')
  add('--seed', type=int, default=0)
  add('--image', default='sub-*/**/anat/*_T1w.nii*', help='pattern of the scans')
  labels = 'derivatives/*/sub-*/**/*_dseg.nii*'
  add('--labels', default=labels, help="their pattern; '' estimates brain and tissue")
  add('--share', type=float, default=1.0, help='share of the subjects with lesions')
  add('--mechanism', default='factor', choices=list(MECHANISMS))
  return result


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a subcommand; returns the exit status: 0, 1 (error) or 130 (Ctrl-C).

  Args:
    arguments: Command line without the program's name; that of the process by default.
  """
  options = parser().parse_args(arguments)
  logging.set_verbosity(logging.ERROR)  # TFDS logs each config otherwise
  try:
    uad_jax.heed_interrupts()
    options.run(options)
  except (ValueError, OSError, ImportError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print('stopped; the same command goes on from there', file=sys.stderr)
    return 130
  return 0


def command() -> None:
  """Entry point of the command `uad-prepare`."""
  sys.exit(main())


if __name__ == '__main__':
  command()
