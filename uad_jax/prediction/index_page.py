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


def link(stem: str, end: str) -> str:
  """Returns the relative link to a result file.

  >>> link('P 1/T1', '.json')
  'P%201/T1.json'

  Args:
    stem: Path of the results below the folder of the page.
    end: End of the name of the file.
  """
  return quote((stem + end).encode(errors='surrogateescape'))


def entry(stem: str, record: Mapping[str, Any]) -> dict[str, Any]:
  """Collects the texts and links of one scan for the page.

  Args:
    stem: Path of its results below the folder of the page.
    record: Content of its sidecar.
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
    'warnings': [text_of(sentence) for sentence in record['warnings']],
  }


def render(records: Mapping[str, Mapping[str, Any]]) -> str:
  """Renders the page: pictures of all scans, the largest lesion volume first.

  Args:
    records: Content of the sidecars by their path, with the entry 'status'; failed
      scans have 'scan' and 'warnings' only.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(uad_jax.report.__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  done = {s: r for s, r in sorted(records.items()) if r['status'] == DONE}
  settings = {
    tuple(text_of(r[k]) for k in ('run', 'map', 'percent', 'threshold'))
    for r in done.values()
  }
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
