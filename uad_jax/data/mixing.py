"""Several data sets in one experiment: what its splits are made of.

A split of `config.data` (train, val, test, selection) is a sum: 'train', 'brats/test',
'train + oasis/train', 'train + 0.5*oasis/train'. A name before '/' is a key of
`config.data.others`, whose values are written as `config.data` is; their `dir` is that
of `config.data` unless given, and what they say of splits is not read:

  config.data.train = 'train + 0.5*oasis/train'
  config.data.others = dict(oasis=dict(name='nifti_folder', source='data/oasis', ...))

Without weights all records count alike. With them, which only a training takes, each
term has its share of the examples whatever its size, 1 where none is written: above,
each third example is of OASIS. A config without others has no such key, so that its
hash stays; hence the config's file sets it, and the command line can then change the
expressions and what is in it (`--config.data.others.oasis.source=DIR`).
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from uad_jax.data import reading

PAINTED = 'painted'
"""Name of the selection split made by painting lesions into the validation scans."""

HOME = ''
"""The name of the data set that `config.data` itself describes."""

SPLITS = ('train', 'val', 'test', 'selection')
WEIGHTED = ('train',)
TERM = re.compile(r'(?:([\d.]+)\s*\*\s*)?(?:([\w-]+)/)?([\w-]+)')


class Term(NamedTuple):
  """A split of a data set, with its weight in a training if it has one."""

  data: str
  split: str
  weight: float | None = None


def parse(expression: str) -> tuple[Term, ...]:
  """The terms of 'WEIGHT*NAME/SPLIT + ...', in which only SPLIT must be there."""
  terms = []
  for text in expression.split('+'):
    found = TERM.fullmatch(text.strip())
    try:
      weight = float(found[1]) if found and found[1] else None
    except ValueError:
      found = None
    if not found or weight == 0:
      raise ValueError(
        f"'{text.strip()}' in the split '{expression}' is not understood; allowed are "
        "sums of [WEIGHT*][NAME/]SPLIT, WEIGHT above 0, as 'train + 0.5*oasis/train'"
      )
    terms.append(Term(found[2] or HOME, found[3], weight))
  if len({term[:2] for term in terms}) < len(terms):
    raise ValueError(
      f"the split '{expression}' names one twice; allowed is each split once"
    )
  return tuple(terms)


def splits(data: Mapping[str, Any]) -> dict[str, tuple[Term, ...]]:
  """The terms of each split that a data config names; raises for what is not allowed.

  Args:
    data: `config.data`, plain.
  """
  others = data.get('others') or {}
  found = {}
  for key in SPLITS:
    if not data[key] or (key, data[key]) == ('selection', PAINTED):
      continue
    found[key] = parse(data[key])
    for term in found[key]:
      if term.data not in {HOME, *others}:
        raise ValueError(
          f"config.data.{key} = '{data[key]}' names the data set '{term.data}'; "
          f'config.data.others has {", ".join(others) or "none"}'
        )
      if term.weight is not None and key not in WEIGHTED:
        raise ValueError(
          f"config.data.{key} = '{data[key]}' has a weight; allowed is one in "
          f'config.data.{" and ".join(WEIGHTED)}: an evaluation sees each record once'
        )
  return found


def chosen(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """The options of each data set that the splits name, the training's first one first.

  Args:
    data: `config.data`, plain.
  """
  names = dict.fromkeys(term.data for terms in splits(data).values() for term in terms)
  everything = {HOME: data, **(data.get('others') or {})}

  def options(name: str) -> dict[str, Any]:
    ignored = (*SPLITS, 'others')
    kept = {k: v for k, v in everything[name].items() if k not in ignored}
    return {'dir': data['dir'], **kept}

  return {name: options(name) for name in names}


def first(builders: Mapping[str, Any]) -> Any:
  """The builder of the training's first data set, whose preprocessing is the run's."""
  return next(iter(builders.values()))


def check_agreement(builders: Mapping[str, Any]) -> None:
  """Raises unless the images of all data sets have one shape and as many channels."""
  (first, one), *rest = builders.items()
  for name, other in rest:
    shapes = [tuple(b.info.features['image'].shape) for b in (one, other)]
    if shapes[0] != shapes[1]:
      where = [f'config.data{n and ".others."}{n}' for n in (first, name)]
      raise ValueError(
        f'the images of {where[0]} are {shapes[0]} and those of {where[1]} are '
        f'{shapes[1]}; allowed is one shape with one number of channels'
      )


def reader(
  builders: Mapping[str, Any],
) -> Callable[[str], reading.Records | reading.Mixture]:
  """(expression) -> its records, decoded once however often they are asked for."""

  @functools.cache
  def one(name: str, split: str) -> reading.Records:
    builder = builders[name]
    if split not in builder.info.splits:
      raise ValueError(
        f"dataset '{builder.name}' has no split '{split}'; there are "
        f'{", ".join(builder.info.splits)}'
      )
    return reading.stored(builder, split)

  @functools.cache
  def records(expression: str) -> reading.Records | reading.Mixture:
    terms = parse(expression)
    parts = [one(term.data, term.split) for term in terms]
    if len(parts) == 1:
      return parts[0]
    weights = [term.weight for term in terms]
    shares = [1.0 if weight is None else weight for weight in weights]
    names = [term.data for term in terms]
    return reading.Mixture(parts, names, shares if any(weights) else None)

  return records


def digest(builders: Mapping[str, Any], data: Mapping[str, Any]) -> str:
  """Fingerprint of the data: of one data set its own, of several a hash over theirs.

  It then also covers what is evaluated, for the same data sets can be added otherwise.

  Args:
    builders: Of all data sets that the splits name.
    data: `config.data`, plain.
  """
  each = {name: builder.digest() for name, builder in builders.items()}
  if len(each) == 1:
    return next(iter(each.values()))
  told = {
    key: sorted([each[term.data], term.split] for term in terms)
    for key, terms in splits(data).items()
    if key not in WEIGHTED
  }
  text = json.dumps({'data': sorted(each.values()), **told}, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
