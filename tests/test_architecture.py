"""Imports follow one order; a method never imports another; one loop over steps."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent / 'uad_jax'
FILES = sorted(ROOT.rglob('*.py'))
TESTS = ROOT.parent / 'tests'

ORDER = (
  # Rooms and modules of the root, each of which may import those before it.
  'parallel progress ops registration',
  'method augmentation uncertainty detectors',
  'nets.layers nets features methods.families methods scores adapt',
  'data.preprocessing data data.simulation data.cohorts datasets',
  'domain_shift.image_statistics domain_shift.statistics',
  'checkpoint optimisers update train evaluation online inference evaluate',
  'domain_shift report',
  'registry base_config prepared_data experiment model_card trained_run other_cohort',
  'few_shot.source_run resume run_folder few_shot ensembles',
  'prediction comparison cli',
  'main predict prepare benchmark tune choose_weight adapt.__main__',
  'comparison.__main__ ensembles.__main__',
)
RANK = {room: rank for rank, room in enumerate(' '.join(ORDER).split())}

FORBIDDEN = {
  # What an order does not say: packages, and rooms that are strangers to each other.
  'data': ('jax', 'flax', 'optax', 'ml_collections', 'uad_jax.method'),
  'datasets': ('jax', 'flax', 'optax', 'ml_collections', 'uad_jax.method'),
  'ops': ('flax', 'optax', 'uad_jax.parallel'),
  'scores': ('uad_jax.methods', 'uad_jax.scores.'),
  'adapt': ('uad_jax.methods', 'uad_jax.scores'),
  'methods': ('uad_jax.data',),
  'nets': ('uad_jax.data', 'uad_jax.method'),
  'uncertainty': ('uad_jax.nets', 'uad_jax.methods'),
  'train': ('uad_jax.methods',),
}
BELOW_THE_DOOR = RANK['registry']
"""From here on modules may see a config."""


def imported(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def room_of(module):
  """The narrowest room of `ORDER` that a dotted name below uad_jax lies in."""
  parts = module.split('.')
  return '.'.join(parts[:2]) if '.'.join(parts[:2]) in RANK else parts[0]


def dotted(path):
  return '.'.join(path.relative_to(ROOT).with_suffix('').parts)


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
  if path == ROOT / '__init__.py':
    return
  here = room_of(dotted(path))
  for name in imported(path):
    if name.startswith('uad_jax.'):
      there = room_of(name.removeprefix('uad_jax.'))
      assert RANK[there] <= RANK[here], f'{dotted(path)} imports {name}, above it'
    if RANK[here] < BELOW_THE_DOOR:
      assert not name.startswith('ml_collections'), f'{dotted(path)} sees a config'
    for banned in FORBIDDEN.get(here.split('.')[0], ()):
      inside = name.startswith(banned if banned[-1] == '.' else f'{banned}.')
      assert not (inside or name == banned), f'{dotted(path)} imports {name}'


@pytest.mark.parametrize('room', ['methods', 'scores', 'adapt'])
def test_registered_files_do_not_import_one_another(room):
  for path in sorted((ROOT / room).rglob('*.py')):
    names = [n for n in imported(path) if n.startswith(f'uad_jax.{room}.')]
    assert all(n.startswith(f'uad_jax.{room}.families') for n in names), path


def test_no_test_module_imports_another():
  for path in sorted(TESTS.rglob('*.py')):
    names = [n for n in imported(path) if n.startswith('tests.')]
    assert not [n for n in names if '.test_' in n], path


def test_an_adaptation_keeps_the_fields_of_a_method_that_it_does_not_know():
  made_anew = [
    path.name
    for path in FILES
    if path.parent.name == 'adapt' and re.search(r'\bMethod\(', path.read_text())
  ]
  assert not made_anew  # they use method._replace


def test_rooms_stay_small():
  assert len(list(ROOT.glob('*.py'))) <= 25
  everything = [
    *FILES,
    *TESTS.rglob('*.py'),
    *(ROOT.parent / 'benchmarks').glob('*.py'),
  ]
  lengths = {path: len(path.read_text().splitlines()) for path in everything}
  assert not {path: n for path, n in lengths.items() if n > 260}


@pytest.mark.parametrize(
  'path', sorted((ROOT / 'methods').glob('*.py')), ids=lambda p: p.stem
)
def test_a_method_has_no_loop_over_training_steps(path):
  # That loop is in train.py; those that sample move no parameters.
  nodes = list(ast.walk(ast.parse(path.read_text())))
  assert not [node for node in nodes if isinstance(node, ast.While)]
  heads = [ast.unparse(node.iter) for node in nodes if isinstance(node, ast.For)]
  assert not [head for head in heads if 'step' in head]
  assert not [n for n in imported(path) if n.startswith(('optax', 'uad_jax.train'))]
  attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
  assert not attributes & {'jit', 'apply_updates', 'value_and_grad'}


def test_tensorflow_is_imported_by_nobody():
  for path in FILES:
    names = [n.split('.')[0] for n in imported(path)]
    assert 'tensorflow' not in names, path


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_branches_on_a_name(path):
  # What differs between methods is in the value that each makes.
  lines = path.read_text().splitlines()
  assert not [line for line in lines if re.search(r'\bif .*name ==', line)]
