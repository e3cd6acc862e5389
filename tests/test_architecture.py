"""Imports run one way; a method file never imports another; one loop over steps."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent / 'uad_jax'
FILES = sorted(ROOT.rglob('*.py'))

FORBIDDEN = {
  # folder or file: what it must not import
  'data': ('jax', 'flax', 'optax'),
  'datasets': ('jax', 'flax', 'optax'),
  'methods': (
    'uad_jax.methods.',
    'uad_jax.scores',
    'uad_jax.experiment',
    'ml_collections',
  ),
  'scores': ('uad_jax.methods', 'uad_jax.scores.', 'ml_collections'),
  'adapt': ('uad_jax.methods', 'uad_jax.scores', 'ml_collections'),
  'nets': ('uad_jax.methods', 'uad_jax.data', 'ml_collections'),
  'registration': ('uad_jax.methods', 'uad_jax.nets', 'uad_jax.data', 'ml_collections'),
  'train.py': ('ml_collections', 'uad_jax.experiment', 'uad_jax.methods'),
  'evaluate.py': ('ml_collections', 'uad_jax.experiment', 'uad_jax.methods'),
  'inference.py': ('ml_collections', 'uad_jax.experiment', 'uad_jax.methods'),
  'report': ('ml_collections', 'uad_jax.experiment', 'uad_jax.methods'),
}


def imported(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
  place = path.relative_to(ROOT).parts[0]
  for name in imported(path):
    for root in FORBIDDEN.get(place, ()):
      inside = (
        name.startswith(root)
        if root.endswith('.')
        else (name == root or name.startswith(f'{root}.'))
      )
      assert not inside, f'{path.relative_to(ROOT)} imports {name}'


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
