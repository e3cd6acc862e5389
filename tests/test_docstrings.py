"""Docstrings and names are plain: what a machine can check of style."""

import ast
import re

import pytest

from tests.conftest import ROOT

FILES = sorted([*(ROOT / 'uad_jax').rglob('*.py'), *(ROOT / 'configs').glob('*.py')])
VAGUE = {'found', 'told', 'given', 'own', 'left'}
"""Names that hold anything; a variable names what it holds."""

OPENINGS = re.compile(r'(What|Where|Which|How|Of|Whose|That|Those|THE)\b')
ENTRY = re.compile(r'^  (\*{0,2}\w+): (.*)$')
DEFINED = ast.FunctionDef | ast.ClassDef


def name_of(path):
  return str(path.relative_to(ROOT))


def public(tree):
  """Public definitions with their docstrings, those of classes included."""
  for node in tree.body:
    if isinstance(node, DEFINED) and not node.name.startswith('_'):
      yield node.name, node
      for inner in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith('_'):
          yield f'{node.name}.{inner.name}', inner


def raises(node):
  """Whether a function raises by itself, not in a function inside of it."""
  for child in ast.iter_child_nodes(node):
    if isinstance(child, DEFINED | ast.Lambda):
      continue
    if isinstance(child, ast.Raise) and child.exc is not None:
      return True
    if raises(child):
      return True
  return False


def entries(docstring):
  """The entries of Args and Attributes by name, with their first lines."""
  return [
    found.groups() for line in docstring.splitlines() if (found := ENTRY.match(line))
  ]


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_docstrings_are_plain(path):
  tree = ast.parse(path.read_text())
  documented = [('the module', tree), *public(tree)]
  for name, node in documented:
    text = ast.get_docstring(node, clean=False)
    if text is None:
      continue
    assert not OPENINGS.match(text.strip()), f'{name} opens with {text.split()[0]}'
    for entry, line in entries(ast.get_docstring(node)):
      assert not OPENINGS.match(line), f'{name}: {entry} opens with {line.split()[0]}'
    if isinstance(node, ast.FunctionDef) and raises(node):
      assert 'Raises:' in text, f'{name} raises and does not say so'


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_names_say_what_they_hold(path):
  tree = ast.parse(path.read_text())
  names = {
    node.id: node.lineno
    for node in ast.walk(tree)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
  }
  names |= {
    node.arg: node.lineno for node in ast.walk(tree) if isinstance(node, ast.arg)
  }
  vague = {name: line for name, line in names.items() if name in VAGUE}
  assert not vague, f'{name_of(path)}: {vague}'
