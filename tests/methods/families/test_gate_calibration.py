"""Calibrated evidence and the gate it opens."""

import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.methods.families import gate_calibration

SHAPE = (6, 32, 32, 1)


def draw(seed):
  rng = np.random.default_rng(seed)
  return {
    'standardised': np.abs(rng.normal(0, 2, SHAPE)).astype(np.float32),
    'epistemic': rng.normal(-6, 1, SHAPE).astype(np.float32),
    'learned': rng.normal(-5, 2, SHAPE).astype(np.float32),
  }


def opened(found, names, share=0.01, counts=None, hinge=True):
  mask = jnp.ones(SHAPE)
  if counts is None:
    counts = gate_calibration.calibrate(gate_calibration.uncalibrated(), draw(0), mask)
  return np.asarray(
    gate_calibration.open_gate(counts, found, mask, names, share, hinge)
  )


def test_an_uncalibrated_gate_stays_closed():
  found = {
    n: np.full(SHAPE, span.high - 2) for n, span in gate_calibration.KINDS.items()
  }
  counts = gate_calibration.uncalibrated()
  assert opened(found, ['learned', 'epistemic'], counts=counts).max() == 0


@pytest.mark.parametrize('names', [['learned'], list(gate_calibration.KINDS), []])
def test_healthy_scans_leave_the_gate_nearly_closed(names):
  g = opened(draw(1), names)
  assert (g > 0.05).mean() <= 0.01


def test_strong_evidence_of_any_kind_opens_it_there_and_only_there():
  for name in gate_calibration.KINDS:
    found = draw(1)
    found[name][:, 10:20, 10:20] = 18.0
    g = opened(found, list(gate_calibration.KINDS))
    assert g[:, 13:17, 13:17].min() > 0.9
    assert g[:, :4].max() < 0.2
    assert opened(found, [n for n in gate_calibration.KINDS if n != name]).max() < 0.5


def test_without_the_hinge_the_gate_is_never_shut():
  assert opened(draw(1), ['learned'], hinge=False).min() > 0


def test_an_unknown_kind_is_named():
  with pytest.raises(ValueError, match="dae_unc: unknown evidence 'luck'; there are"):
    gate_calibration.check(['luck'], 'dae_unc')
