"""Prepares data.

  python -m uad_jax.prepare list                        what there is, what lies ready
  python -m uad_jax.prepare list ixi                    how to get one, which files
  python -m uad_jax.prepare build ixi --source=DIR      preprocesses and writes it
  python -m uad_jax.prepare check ixi                   looks for what is wrong with it
  python -m uad_jax.prepare splits ixi --source=DIR     deals subjects to splits
  python -m uad_jax.prepare table                       writes docs/datasets.md

Lesions of real shape in healthy scans, with the untouched scan as the twin:

  python -m uad_jax.prepare lesions --source=../shared/data/ixi_t1_2mm \
    --masks=../shared/data/stroke_masks_mni --output=data/ixi_lesions

Each subcommand is a function here and its arguments in `parser`.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from absl import logging

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
from uad_jax.data.preprocessing import presets
from uad_jax.datasets import catalogue
from uad_jax.report import datasets, gallery
from uad_jax.report.atomic_files import write_text

DOCS = pathlib.Path('docs')


class Failed(ValueError):
  """A check that found something; its findings are told already."""


def list_(options: argparse.Namespace) -> None:
  """Lists the data sets, or tells how to get one."""
  if options.name:
    print(catalogue.cohort(options.name).instructions)
    return
  ready = catalogue.prepared(options.data_dir)
  rows = [('name', 'subjects', 'kind', 'contrasts', 'licence', 'where to get it')]
  for each in catalogue.cohorts():
    kind = 'healthy' if each.healthy else each.pathology
    contrasts = ' '.join(each.contrasts)
    rows.append(
      (each.name, str(each.subjects), kind, contrasts, each.licence, each.homepage)
    )
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    print(
      '  '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
    )
  print('sim_brain (simulated) and nifti_folder (your own) need no download.')
  print(f'\nprepared in {options.data_dir}:' if ready else '\nnothing is prepared here')
  for each in ready:
    scans = ', '.join(f'{split} {n}' for split, n in each.scans.items())
    print(f'  {each.name}/{each.config}: {scans}')


def build(options: argparse.Namespace) -> None:
  """Preprocesses a cohort and writes it; an interrupted build goes on."""
  found = catalogue.cohort(options.name)
  asked = {
    name: getattr(options, name)
    for name in (
      'contrast', 'form', 'preset', 'shape', 'spacing', 'brain', 'bias', 'atlas',
      'lesion_values', 'tree', 'keep_going', 'workers', 'beam',
    )
  }  # fmt: skip
  source = options.source
  if options.download:
    contrast = options.contrast or found.contrasts[0]
    source = download.fetch(found, contrast, options.data_dir)
  elif not source:
    raise ValueError(
      f'give the folder by --source; `list {found.name}` tells how to get it'
    )
  builder = catalogue.module(options.name).open_builder(
    pathlib.Path(options.data_dir).resolve(), source=source, **asked
  )
  if pathlib.Path(builder.data_dir, manifest.NAME).is_file():
    print('it is there already; remove the folder to build it anew', file=sys.stderr)
  builder.download_and_prepare()
  print(builder.data_dir)


def check(options: argparse.Namespace) -> None:
  """Checks prepared data sets, prints what is found and writes a gallery of each."""
  ready = [
    each
    for each in catalogue.prepared(options.data_dir, options.name)
    if options.config in each.config
  ]
  if not ready:
    raise ValueError(
      f"{options.data_dir} has no prepared '{options.name}' with '{options.config}' in "
      'the name of its config; build it first'
    )
  count = 0
  for each in ready:
    seen, found = audit.run(each.folder)
    for finding in found:
      print(f'{each.name}/{each.config}: {finding.scan} {finding.sentence}')
    title = f'{each.name}/{each.config}'
    page = gallery.write(each.folder / 'gallery.html', title, seen, found)
    print(f'{title}: {len(seen)} scans, {len(found)} findings, {page}')
    count += len(found)
  if count:
    raise Failed(f'{count} findings')


def splits_(options: argparse.Namespace) -> None:
  """Deals the subjects of a cohort to splits and writes the list."""
  found = catalogue.cohort(options.name)
  contrast = options.contrast or found.contrasts[0]
  entries, _ = cohort.find(options.source, found, contrast, options.tree)
  patients = splits.ill(entries) if found.healthy else set()
  dealt = splits.deal({e.subject for e in entries} - patients, found.fractions)
  target = options.output or cohort_builder.folder_of(found.name) / 'splits.txt'
  splits.write(dealt, target, f'python -m uad_jax.prepare splits {found.name}')
  for split in found.fractions:
    print(f'{split}: {sum(s == split for s in dealt.values())} subjects')
  print(target)


def table(options: argparse.Namespace) -> None:
  """Writes docs/datasets.md from the builders' own tables."""
  target = pathlib.Path(options.output)
  write_text(target, datasets.page(catalogue.cohorts(), target.parent))
  print(target)


def lesions(options: argparse.Namespace) -> None:
  """Writes a BIDS folder with lesions into the subjects of a split."""
  report = lesion_cohort.write(
    options.source,
    options.masks,
    options.output,
    layout.bids(image=options.image, labels=options.labels),
    options.split,
    options.seed,
  )
  for split, told in report.items():
    print(
      f'{split}: {told["subjects"]} subjects with lesions in '
      f'{told["prevalence"]:.2%} of the brain'
    )
  print(options.output)


def parser() -> argparse.ArgumentParser:
  """The subcommands and their arguments."""
  result = argparse.ArgumentParser(prog='python -m uad_jax.prepare')
  commands = result.add_subparsers(required=True, metavar='COMMAND')

  def command(name, run):
    made = commands.add_parser(name, help=run.__doc__)
    made.set_defaults(run=run)
    return made.add_argument

  add = command('list', list_)
  add('name', nargs='?', default='')
  add('--data_dir', default='data')

  add = command('build', build)
  add('name')
  add('--source', default='', help="what the provider's download unpacked to")
  add('--download', action='store_true', help='fetch it, where the licence allows it')
  add('--data_dir', default='data', help='where prepared data sets lie')
  add('--contrast', default='', help="the cohort's first by default")
  add('--form', default=presets.SLICES, choices=presets.FORMS)
  add('--preset', default=presets.DEFAULT, choices=list(presets.PRESETS))
  add('--shape', type=int, nargs='+', default=(), help='of a record, in voxels')
  add('--spacing', type=float, default=0.0, help='in mm')
  add('--brain', default='auto', help='auto, template, otsu, hd_bet, synthstrip, ...')
  add('--bias', default='', choices=('', 'own', 'n4', 'none'))
  add('--atlas', default='', help='a stripped T1 template to align to, such as SRI24')
  add(
    '--lesion_values', type=int, nargs='+', default=(), help='numbers that are lesion'
  )
  add('--tree', default='', help='release, where the folder holds several')
  add('--keep_going', action='store_true', help='leave bad scans out and list them')
  add('--workers', type=int, default=2, help='processes')
  add('--beam', action='store_true', help='by Apache Beam; options in UAD_BEAM')

  add = command('check', check)
  add('name')
  add('--config', default='', help='part of the name of the config')
  add('--data_dir', default='data')

  add = command('splits', splits_)
  add('name')
  add('--source', required=True)
  add('--contrast', default='')
  add('--tree', default='')
  add('--output', default='', help='the list beside the builder by default')

  add = command('table', table)
  add('--output', default=str(DOCS / 'datasets.md'))

  add = command('lesions', lesions)
  add('--source', required=True, help='BIDS folder of healthy scans')
  add('--masks', required=True, help='folder of lesion masks, MNI mm')
  add('--output', required=True, help='folder to be made')
  add('--split', default='test', help='whose subjects get lesions')
  add('--seed', type=int, default=0)
  add('--image', default='sub-*/**/anat/*_T1w.nii*', help='pattern of the scans')
  add(
    '--labels',
    default='derivatives/*/sub-*/**/*_dseg.nii*',
    help='pattern of the labels',
  )
  return result


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a subcommand; a mistake ends with its sentence and status 1."""
  options = parser().parse_args(arguments)
  logging.set_verbosity(logging.ERROR)  # TFDS tells of each config otherwise
  try:
    options.run(options)
  except (ValueError, OSError, ImportError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
