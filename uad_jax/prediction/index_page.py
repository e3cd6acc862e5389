"""Functions that render index.html, the page with the pictures of many predictions."""

import pathlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jinja2

import uad_jax.report
from uad_jax.prediction.result_tables import DONE, text_of

MARK = '<meta name="generator" content="uad_jax predict">'
"""Line of the page by which it is known as ours."""

SETTINGS = ('run', 'map', 'percent', 'threshold', 'decision_means')
"""Entries of a sidecar that are the same for all scans of a command."""


def link(stem: str, end: str) -> str:
  """Returns the URL-quoted relative link from index.html to a result file.

  >>> link('P 1/T1', '.json')
  'P%201/T1.json'

  Args:
    stem: Path of the results relative to the folder of the page, without suffix.
    end: Suffix of the file, such as '_overlay.png'.
  """
  return quote((stem + end).encode(errors='surrogateescape'))


def entry(stem: str, record: Mapping[str, Any]) -> dict[str, Any]:
  """Collects the values, texts and links that index.html shows for one scan.

  Args:
    stem: Path of the results relative to the folder of the page, without suffix.
    record: Content of the sidecar, the JSON file that describes the prediction.
  """
  name = stem.rpartition('/')[2]
  files = [
    (file.removeprefix(f'{name}_').partition('.')[0], link(stem, file[len(name) :]))
    for file in record['files']
    if not file.endswith('_overlay.png')
  ]
  return {
    'name': text_of(record['scan']),
    'picture': link(stem, '_overlay.png'),
    'files': [*files, ('json', link(stem, '.json'))],
    'ml': record['lesion_ml'],
    'lesions': record['lesions'],
    'share': record['marked_share_of_brain'],
    'p': text_of(record.get('p')),
    'warnings': [text_of(sentence) for sentence in record['warnings']],
  }


def render(records: Mapping[str, Mapping[str, Any]]) -> str:
  """Renders index.html with all scans, sorted by decreasing lesion volume.

  Args:
    records: Content of the sidecars, the JSON files that describe the predictions, by
      path without suffix. Each has the additional entry 'status'; records of failed
      scans need only 'status', 'scan' and 'warnings'.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(uad_jax.report.__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  done = {s: r for s, r in sorted(records.items()) if r['status'] == DONE}
  settings = {tuple(text_of(r.get(k)) for k in SETTINGS) for r in done.values()}
  scans = [entry(stem, record) for stem, record in done.items()]
  return environment.get_template('predictions.html').render(
    mark=MARK,
    settings=sorted(settings),
    scans=sorted(scans, key=lambda scan: -scan['ml']),
    failed=[
      (text_of(r['scan']), text_of(r['warnings']))
      for s, r in sorted(records.items())
      if s not in done
    ],
  )
