"""The page about registration at test time, from a record."""

import json
import pathlib

import pytest

from tests.small_run import world as world  # a finished run
from uad_jax.comparison import (
  registration_page,
  registration_picture,
  registration_study,
)
from uad_jax.comparison.field.measures import KEPT

ROWS = ('no field', 'uniform, 4', 'gated, 4')


def estimate(value):
  return {'value': value, 'interval': [value - 0.1, value + 0.1]}


def record(**more):
  numbers = {name: estimate(0.5) for name in KEPT} | {'iso': estimate(0.125)}
  return {
    'method': 'moment_registration',
    'seed': 0,
    'config': 'abc',
    'target': 'there',
    'stiffness': 4.0,
    'scans': 24,
    'sick': 12,
    'validation': 8,
    'rows': {name: numbers for name in ROWS},
    'differences': {'no field': estimate(0.25) | {'p': 0.01, 'holm': 0.02}},
    'lesions': {'gated, 4': {'deep': {'lesions': 3, 'recall': 0.625}}},
    'known': [
      {
        'kind': 'random',
        'size': 2.0,
        'row': 'gated',
        'endpoint': estimate(0.75),
        'gate': estimate(0.0625),
      }
    ],
    'age': {'subjects': 12, 'gated': {'gate': estimate(-0.375)}},
    'dose': [{'height': 0.5, 'strain': estimate(0.875)}],
    'seconds': 1.0,
  } | more


def page_of(tmp_path, *records):
  text = '\n'.join(map(json.dumps, records))
  (tmp_path / registration_page.NAME).write_text(text)
  return registration_page.page(tmp_path)


def test_the_page_has_every_number_of_the_record(tmp_path):
  page = page_of(tmp_path, record())
  for row in ROWS:
    assert f'| {row} | 0.500 [0.400, 0.600] | 0.125' in page
  assert '| no field | +0.250 [+0.150, +0.350] | 0.010 | 0.020 |' in page
  assert '| random | 2 | gated | 0.750 [0.650, 0.850] | 0.062' in page
  assert '| gated | gate | -0.375' in page
  assert '| 0.5 | 0.875' in page
  assert '| row | deep (3) |' in page
  assert '| gated, 4 | 0.62 |' in page


def test_the_newest_record_of_a_run_and_target_counts(tmp_path):
  page = page_of(tmp_path, record(scans=11), record(scans=13), record(target='here'))
  assert '11 test scans' not in page
  assert '13 test scans' in page
  assert page.index('## there') < page.index('## here')


def test_the_figure_has_the_curves_of_the_record(tmp_path):
  rows = {
    'no field': {'auprc': estimate(0.25)},
    'uniform, 4': {'auprc': estimate(0.5), 'ventricle_dice': estimate(0.625)},
    'gated, 4': {'auprc': estimate(0.75), 'ventricle_dice': estimate(0.875)},
  }
  drawn = record(rows=rows)
  metrics = ('ventricle_dice', 'auprc')
  assert registration_picture.curve(drawn, 'gated, ', metrics) == [(0.875, 0.75, '4')]
  assert registration_picture.curve(drawn, 'no field', metrics) == []
  assert registration_picture.picture(drawn).startswith(b'\x89PNG')
  assert 'figures/registration-there.png' in page_of(tmp_path, record())


def test_the_page_of_the_project_is_what_its_records_render():
  docs = pathlib.Path('docs')
  page = registration_page.page(docs / 'runs')
  assert (docs / 'registration.md').read_text() == page
  for entry in registration_page.newest(docs / 'runs'):
    assert (docs / registration_page.figure_of(entry['target'])).is_file()


def test_parts_without_numbers_are_left_out(tmp_path):
  page = page_of(tmp_path, record(lesions={}, known=[], age={}, dose=[]))
  assert '### Known fields' not in page
  assert '### Age' not in page
  assert '### Dose' not in page


def test_a_run_of_another_method_is_refused(world):
  _, _, run, _ = world
  with pytest.raises(ValueError, match='is a run of vae; the study needs one of'):
    registration_study.study(run, {'a': 'b'}, run / 'records.jsonl')
  assert not (run / 'records.jsonl').exists()
