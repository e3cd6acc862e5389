"""Runs the examples in the docstrings of ops and registration."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import ROOT

ROOMS = ('uad_jax/ops', 'uad_jax/registration')
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob('*.py'))
NAMES = {'jax': jax, 'jnp': jnp, 'np': np}
"""Names that an example may use without importing them, besides those of its module."""

WITHOUT_EXAMPLES = {
  'uad_jax/ops/__init__.py': 'holds no code',
  'uad_jax/registration/__init__.py': 'holds no code',
}


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_docstrings(path):
  relative = path.relative_to(ROOT)
  module = importlib.import_module('.'.join(relative.with_suffix('').parts))
  report = []
  runner = doctest.DocTestRunner(verbose=False)
  for case in doctest.DocTestFinder().find(module, extraglobs=NAMES):
    runner.run(case, out=report.append)
  assert not runner.failures, ''.join(report)
  # The finder passes over what a decorator hides from it.
  written = sum(
    line.strip().startswith('>>> ') for line in path.read_text().splitlines()
  )
  assert runner.tries == written
  assert bool(written) != (str(relative) in WITHOUT_EXAMPLES), 'an example is missing'
