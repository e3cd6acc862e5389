"""Functions that combine splits of one or several data sets for an experiment.

Each split of `config.data` (train, val, test, selection) is an expression: a sum of
terms [WEIGHT*][NAME/]SPLIT, such as 'train', 'brats/test', 'train + oasis/train' or
'train + 0.5*oasis/train'. NAME is a key of `config.data.others`; a term without NAME is
a split of the data set that `config.data` itself describes:

  config.data.train = 'train + 0.5*oasis/train'
  config.data.others = dict(oasis=dict(name='nifti_folder', source='data/oasis', ...))

A value of `others` has the keys of `config.data`: without `dir` it uses the `dir` of
`config.data`, and its splits are ignored.

Without weights, the records of all terms are shuffled together. Weights are allowed in
`train` only: a term's share of the training examples is its weight (1 by default) over
the sum of all weights, however many records it has; above, every third example is from
OASIS.

A config with one data set has no key `others`, so that its hash is the one it had
before this key existed. Therefore only a config file can add `others`; the command line
can then change the expressions and the options of the data sets
(`--config.data.others.oasis.source=DIR`).
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from uad_jax.data import reading

PAINTED = 'painted'
"""Selection split made by painting synthetic lesions into the validation scans."""

HOME = ''
"""The name of the data set that `config.data` itself describes."""

SPLITS = ('train', 'val', 'test', 'selection', 'few_shot')
"""The keys of `config.data` whose values are expressions. 'few_shot' holds the healthy
target scans to which a trained model is adapted, and may be missing."""

DRAW = ('shots', 'draw')
"""Keys of `config.data`: number of subjects of the split 'few_shot' that are used (all
by default), and the seed by which they are drawn."""

WEIGHTED = ('train',)
"""The splits whose terms may have weights."""

TERM = re.compile(r'(?:([\d.]+)\s*\*\s*)?(?:([\w-]+)/)?([\w-]+)')
"""Pattern of a term; its groups are the weight, the data set and the split."""


class Term(NamedTuple):
  """Split of one data set, with an optional weight, as part of a sum of splits.

  It is one term of a split expression, such as '0.5*oasis/train'.

  Attributes:
    data: Name of the data set, a key of `config.data.others` or `HOME`.
    split: Name of the split in that data set.
    weight: Relative share of the training examples, above 0; None if not written.
  """

  data: str
  split: str
  weight: float | None = None


def parse(expression: str) -> tuple[Term, ...]:
  """Parses a text such as 'train + oasis/train' into the splits that it sums.

  The text, a split expression, has the form '[WEIGHT*][NAME/]SPLIT + ...'.

  Raises:
    ValueError: A term is malformed or has the weight 0, or a split is named twice.
  """
  terms = []
  for text in expression.split('+'):
    match = TERM.fullmatch(text.strip())
    try:
      weight = float(match[1]) if match and match[1] else None
    except ValueError:
      match = None
    if not match or weight == 0:
      raise ValueError(
        f"'{text.strip()}' in the split '{expression}' is not understood; allowed are "
        "sums of [WEIGHT*][NAME/]SPLIT, WEIGHT above 0, as 'train + 0.5*oasis/train'"
      )
    terms.append(Term(match[2] or HOME, match[3], weight))
  if len({term[:2] for term in terms}) < len(terms):
    raise ValueError(
      f"the split '{expression}' names one split twice; allowed is each split once"
    )
  return tuple(terms)


def splits(data: Mapping[str, Any]) -> dict[str, tuple[Term, ...]]:
  """Parses the expressions of all splits in `config.data`, each into its terms.

  The result has the terms by the split's key ('train', 'val', 'test', 'selection').
  Empty splits are left out, and so is a selection split that is `PAINTED` (made by
  painting synthetic lesions into the validation scans).

  Args:
    data: `config.data` as plain dicts.

  Raises:
    ValueError: An expression is malformed, names an unknown data set, or has a weight
      in a split that takes none.
  """
  others = data.get('others') or {}
  terms = {}
  for key in SPLITS:
    if not data.get(key) or (key, data[key]) == ('selection', PAINTED):
      continue
    terms[key] = parse(data[key])
    for term in terms[key]:
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
  return terms


def chosen(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """Returns the config options of each data set that an experiment uses in any split.

  The result maps the name of a data set to its options: `dir`, `name` and the other
  config keys of the data set, without `SPLITS`, `DRAW`, `others` and `polarity`. They
  are in the order of their first use, those of `train` first.

  Args:
    data: `config.data` as plain dicts.
  """
  names = dict.fromkeys(term.data for terms in splits(data).values() for term in terms)
  everything = {HOME: data, **(data.get('others') or {})}

  def options(name: str) -> dict[str, Any]:
    ignored = (*SPLITS, *DRAW, 'others', 'polarity')
    kept = {k: v for k, v in everything[name].items() if k not in ignored}
    return {'dir': data['dir'], **kept}

  return {name: options(name) for name in names}


def first(builders: Mapping[str, Any]) -> Any:
  """Returns the TFDS builder of the first of the data sets mixed for training.

  New scans are preprocessed as the scans of this data set were.

  Args:
    builders: TFDS builders by the data sets' names, in the order of `chosen`.
  """
  return next(iter(builders.values()))


def check_agreement(builders: Mapping[str, Any]) -> None:
  """Checks that the images of all data sets have the same shape and number of channels.

  Args:
    builders: TFDS builders by the data sets' names.

  Raises:
    ValueError: The images of two data sets differ in shape or channels.
  """
  (first_name, first_builder), *rest = builders.items()
  for name, builder in rest:
    shapes = [tuple(b.info.features['image'].shape) for b in (first_builder, builder)]
    if shapes[0] != shapes[1]:
      keys = [f'config.data{n and ".others."}{n}' for n in (first_name, name)]
      raise ValueError(
        f'the images of {keys[0]} are {shapes[0]} and those of {keys[1]} are '
        f'{shapes[1]}; allowed is one shape with one number of channels'
      )


def reader(
  builders: Mapping[str, Any],
) -> Callable[[str], reading.Records | reading.Mixture]:
  """Returns a function that reads the records of a split or a sum of splits.

  Its argument is a split expression such as 'val + oasis/val', see `parse`. The records
  are cached by expression; splits that several expressions share are decoded once. The
  function raises ValueError for a split that a data set does not have.

  Args:
    builders: TFDS builders by the data sets' names.
  """

  @functools.cache
  def records_of(name: str, split: str) -> reading.Records:
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
    parts = [records_of(term.data, term.split) for term in terms]
    if len(parts) == 1:
      return parts[0]
    weights = [term.weight for term in terms]
    shares = [1.0 if weight is None else weight for weight in weights]
    names = [term.data for term in terms]
    return reading.Mixture(parts, names, shares if any(weights) else None)

  return records


def digest(builders: Mapping[str, Any], data: Mapping[str, Any]) -> str:
  """Computes a fingerprint of an experiment's data sets and its evaluated splits.

  Results can be compared only if their fingerprints are equal. For a single data set,
  the fingerprint is the digest of its manifest. For several, it is a SHA-256 over their
  digests and over the splits that are evaluated (val, test, selection), because the
  same data sets can be summed in several ways.

  Args:
    builders: TFDS builders of all data sets that the splits use, by name.
    data: `config.data` as plain dicts.
  """
  digests = {name: builder.digest() for name, builder in builders.items()}
  if len(digests) == 1:
    return next(iter(digests.values()))
  evaluated = {
    key: sorted([digests[term.data], term.split] for term in terms)
    for key, terms in splits(data).items()
    if key not in WEIGHTED
  }
  text = json.dumps({'data': sorted(digests.values()), **evaluated}, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
