"""README's examples are as good as the code: they pass the lint and run."""

import re
import subprocess
import sys

import jax
import pytest

from tests.conftest import ROOT
from tests.method_table import make_batch

BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)
METHOD = next(block for block in BLOCKS if 'def make(' in block)


@pytest.mark.parametrize('number', range(len(BLOCKS)))
@pytest.mark.parametrize('command', [['check'], ['format', '--check']])
def test_snippets_pass_the_projects_own_lint(number, command):
  # An example of use is no module: it has no docstring, and names its results alone.
  example = number != BLOCKS.index(METHOD)
  ignored = ['--ignore=D100,B018'] if example and command == ['check'] else []
  place = '--stdin-filename=uad_jax/methods/snippet.py'
  done = subprocess.run(
    [sys.executable, '-m', 'ruff', *command, *ignored, place, '-'],
    cwd=ROOT, input=BLOCKS[number], capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr


def test_the_method_of_the_readme_can_be_trained(key):
  space = {}
  exec(METHOD, space)
  method = space['make']((8, 8))
  batch = make_batch((8, 8))
  params, stats = method.init(key, batch)
  loss = method.objectives['mean'].loss
  value, grads = jax.value_and_grad(lambda p: loss(p, stats, batch, key, 0)[0])(params)
  lower = jax.tree.map(lambda p, g: p - g, params, grads)
  assert loss(lower, stats, batch, key, 0)[0] < value
  image = method.infer(lower, stats, batch, key)['reconstruction']
  assert image.shape == batch['image'].shape
