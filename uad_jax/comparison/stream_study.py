"""Study of streams: what recurs is learnt away, lesions are not, at any share of them.

Healthy heads of the training scanner begin a stream. Further heads follow, all with the
artefact of another scanner, and a share of them with a lesion. The filtered maps of
test heads before and after the stream tell what was learnt.
"""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from uad_jax.comparison.record_lines import append, name_of, read
from uad_jax.comparison.stream_scans import Pair, entries_of, pairs
from uad_jax.online import stream
from uad_jax.online.guards import OFF
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import Decision, Scan, Stream, begin
from uad_jax.registry import hashed
from uad_jax.report.atomic_files import read_json
from uad_jax.trained_run import load

KEPT = Settings().guards
"""Guards of the streams that have any."""

RATES = (0.0, 0.1, 0.3, 0.6)
"""Shares of the scans of a stream that have a lesion."""

LENGTH = 200
"""Scans of a stream; heads come again when all have been seen."""

REFERENCE = 19
"""Healthy heads that begin a stream."""

DELAY = 10
"""Scans that pass before a reader answers about a flagged one."""


def play(
  start: Stream,
  heads: Sequence[Pair],
  rate: float,
  length: int = LENGTH,
  seed: int = 0,
  answers: bool = False,
) -> tuple[Stream, dict[str, int]]:
  """Lets a stream of scans pass.

  Args:
    start: State before the first scan.
    heads: Scans of the subjects, who come in a new random order in each round.
    rate: Share of the scans that have a lesion.
    length: Number of scans.
    seed: Seed of the order and of the choice of the scans with a lesion.
    answers: Whether a reader, who is always right, tells of each flagged scan `DELAY`
      scans later whether it was healthy.

  Returns:
    The state after the last scan, and counts: 'learnt' scans, 'learnt_sick' those of
    them with a lesion, 'sick' scans with a lesion, 'answered' scans.
  """
  random = np.random.default_rng(seed)
  names = ('learnt', 'learnt_sick', 'sick', 'answered')
  state, counts = start, dict.fromkeys(names, 0)
  order: list[int] = []
  asked: list[tuple[int, Scan, bool]] = []
  for number in range(length):
    order = order or [int(i) for i in random.permutation(len(heads))]
    head, sick = heads[order.pop()], bool(random.random() < rate)
    maps = head.sick if sick else head.healthy
    scan = Scan(maps, head.subject, f'{head.subject} {number}')
    state, decision, line = stream.observe(state, scan)
    counts['sick'] += sick
    learnt = line['decision'] == 'update'
    counts['learnt'] += learnt
    counts['learnt_sick'] += learnt and sick
    if answers and decision.flagged:
      asked.append((number, scan, sick))
    while asked and (number - asked[0][0] >= DELAY or number == length - 1):
      _, scan, sick = asked.pop(0)
      state, line = stream.answer(state, scan.identifier, not sick, scan)
      counts['answered'] += 1
      counts['learnt'] += line['decision'] == 'update'
  return state, counts


def measure(
  state: Stream, bright: Sequence[Pair], plain: Sequence[Pair]
) -> dict[str, Any]:
  """Measures the filtered maps and decisions of a state on test heads.

  Args:
    state: State of a stream, which is not changed.
    bright: Test heads with the artefact.
    plain: The same heads without it, as the training scanner gives them.

  Returns:
    Dict with
      artefact: share of the artefact's voxels at the threshold or above, healthy heads
      marked: the same share of the rest of their brain
      auprc, auprc_plain: area under the precision-recall curve over the voxels of the
        heads with lesions, with and without the artefact
      heads: average precision of each head with lesion and artefact
      flagged, flagged_sick: share of the healthy heads and of those with a lesion that
        are flagged, with the artefact
  """

  def decisions(heads: Sequence[Pair], kind: str) -> list[Decision]:
    return [
      stream.decide(state, Scan(getattr(head, kind), head.subject, 'test'))
      for head in heads
    ]

  def ranked(heads: Sequence[Pair], decided: Sequence[Decision]) -> list[tuple]:
    """Truth and scores of the brain voxels of each head."""
    return [
      (head.lesion[head.sick.mask > 0], decision.anomaly[head.sick.mask > 0])
      for head, decision in zip(heads, decided, strict=True)
    ]

  def pooled(each: Sequence[tuple]) -> float:
    return float(average_precision_score(*map(np.concatenate, zip(*each, strict=True))))

  healthy, sick = decisions(bright, 'healthy'), decisions(bright, 'sick')
  above = [decision.anomaly >= state.reference.threshold for decision in healthy]
  inside = [marked[head.artefact] for marked, head in zip(above, bright, strict=True)]
  rest = [
    marked[(head.healthy.mask > 0) & ~head.artefact]
    for marked, head in zip(above, bright, strict=True)
  ]
  with_artefact = ranked(bright, sick)
  return {
    'artefact': float(np.concatenate(inside).mean()),
    'marked': float(np.concatenate(rest).mean()),
    'flagged': float(np.mean([decision.flagged for decision in healthy])),
    'flagged_sick': float(np.mean([decision.flagged for decision in sick])),
    'auprc': pooled(with_artefact),
    'heads': [float(average_precision_score(*pair)) for pair in with_artefact],
    'auprc_plain': pooled(ranked(plain, decisions(plain, 'sick'))),
  }


def rows(
  reference: Sequence[Pair],
  heads: Sequence[Pair],
  bright: Sequence[Pair],
  plain: Sequence[Pair],
  length: int = LENGTH,
) -> list[dict[str, Any]]:
  """Plays streams of all `RATES` in three ways, and measures each.

  With guards; with guards and a reader's answers about flagged scans; without guards.

  Args:
    reference: Heads that begin the streams, whose healthy scans are used.
    heads: Heads of the stream.
    bright: Test heads with the artefact.
    plain: The same without it.
    length: Number of scans of a stream.

  Returns:
    One dict a stream: 'rate', 'guards', 'answers' and the counts of `play`, and the
    numbers of `measure`; first that before any scan, whose 'rate' is None.
  """
  healthy = [head.healthy for head in reference]
  guarded, unguarded = (begin(healthy, Settings(guards=g)) for g in (KEPT, OFF))
  before = {'rate': None, 'guards': True, **measure(guarded, bright, plain)}
  table = [before]
  for start, answers in ((guarded, False), (guarded, True), (unguarded, False)):
    for rate in RATES:
      state, counts = play(start, heads, rate, length, answers=answers)
      way = {'rate': rate, 'guards': start is guarded, 'answers': answers}
      table.append({**way, **counts, **measure(state, bright, plain)})
      print(table[-1] | {'heads': ''}, flush=True)
  return table


def study(
  folder: pathlib.Path, stream_folder: str, home: str, path: pathlib.Path
) -> list[dict[str, Any]]:
  """Plays the streams of a run that has no record yet, and adds its record.

  Args:
    folder: Folder of the finished run.
    stream_folder: Heads of the streams: folder of `prepare lesions`, split 'train'.
    home: Test heads: folder of `prepare lesions`, split 'test'.
    path: File of the records, one JSON object a line.

  Returns:
    All records of the file.

  Raises:
    ValueError: There are not more heads than a stream begins on.
  """
  started, run = time.monotonic(), load(folder)
  config = read_json(folder / 'config.json')
  results = read_json(folder / 'results.json')
  identity = {
    'method': name_of(config),
    'seed': config['seed'],
    'config': hashed(results['run']['config']),
    'scorer': run.scorer,
  }
  if key_of(identity) in map(key_of, read(path)):
    return read(path)
  entries = entries_of(run, stream_folder, 'train')
  if len(entries) <= REFERENCE:
    raise ValueError(
      f'{stream_folder} has {len(entries)} heads with lesions in the split '
      f"'train'; allowed are more than the {REFERENCE} that a stream begins on"
    )
  first, others = entries[:REFERENCE], entries[REFERENCE:]
  reference = [pair for (pair,) in pairs(run, first, (False,), 'reference')]
  heads = [pair for (pair,) in pairs(run, others, (True,), 'stream')]
  tests = list(pairs(run, entries_of(run, home, 'test'), (True, False), 'test'))
  bright, plain = zip(*tests, strict=True)
  record = {
    **identity,
    'reference': len(reference),
    'heads': len(heads),
    'tests': len(tests),
    'length': LENGTH,
    'rows': rows(reference, heads, bright, plain),
    'seconds': round(time.monotonic() - started, 1),
  }
  append(path, record)
  return read(path)


def key_of(record: Mapping[str, Any]) -> tuple:
  """Returns the entries of a record that tell its run."""
  return tuple(record[name] for name in ('method', 'seed', 'config'))
