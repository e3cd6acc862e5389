"""Prepares data.

Lesions of real shape in healthy scans, with the untouched scan as the twin:

  python -m uad_jax.prepare lesions --source=../shared/data/ixi_t1_2mm \
    --masks=../shared/data/stroke_masks_mni --output=data/ixi_lesions

Each subcommand is a function here and its arguments in `parser`.
"""

import argparse
import sys
from collections.abc import Sequence

from uad_jax.data import layout, lesion_cohort


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
  command = commands.add_parser('lesions', help=lesions.__doc__)
  command.set_defaults(run=lesions)
  command.add_argument('--source', required=True, help='BIDS folder of healthy scans')
  command.add_argument('--masks', required=True, help='folder of lesion masks, MNI mm')
  command.add_argument('--output', required=True, help='folder to be made')
  command.add_argument('--split', default='test', help='whose subjects get lesions')
  command.add_argument('--seed', type=int, default=0)
  command.add_argument(
    '--image', default='sub-*/**/anat/*_T1w.nii*', help='pattern of the scans'
  )
  command.add_argument(
    '--labels',
    default='derivatives/*/sub-*/**/*_dseg.nii*',
    help='pattern of the labels',
  )
  return result


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a subcommand; a mistake ends with its sentence and status 1."""
  options = parser().parse_args(arguments)
  try:
    options.run(options)
  except (ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
