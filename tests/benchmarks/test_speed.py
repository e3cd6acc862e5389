"""Timings: `pytest -m benchmark`. For ratios: `python -m benchmarks.table`."""

import pytest

from benchmarks import cases

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize('side', ['ours', 'theirs'])
@pytest.mark.parametrize('name', cases.CASES)
def test_speed(benchmark, optimised, name, side):
  if side == 'theirs' and cases.torch is None:
    pytest.skip('PyTorch is not installed: pip install torch to time it beside JAX')
  function = getattr(cases.CASES[name](), side)
  benchmark.group = name
  benchmark.pedantic(function, rounds=5, warmup_rounds=2)
