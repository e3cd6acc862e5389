"""An anomaly map that is not finite stops the prediction before anything is written."""

import types

import numpy as np
import pytest

from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.prediction import detection


def test_finite_results_pass():
  detection.check_finite(np.array([-1.0, 0, 1e30]), 'anomaly map')


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_not_finite_is_refused(value):
  volume = np.zeros((2, 3, 4))
  volume[1, 2, 3] = value
  says = 'the anomaly map of the scan is NaN or Inf in 1 voxels, so that nothing'
  with pytest.raises(BadScan, match=says):
    detection.check_finite(volume, 'anomaly map')


def test_detect_does_not_take_nan_in_the_brain_for_background(monkeypatch):
  prepared = types.SimpleNamespace(image=np.zeros((4, 4, 2, 1)), slices=(0, 1))
  run = types.SimpleNamespace(
    shape=(4, 4, 2),
    scorer='residual',
    postprocess=None,
    batch_size=1,
    **dict.fromkeys(('infer', 'params', 'stats', 'key')),
  )
  scores = np.zeros((4, 4, 2), np.float32)
  scores[1, 1, 1] = np.nan
  inside = np.ones(scores.shape, bool)
  scan = types.SimpleNamespace(arrays={}, voxel_ml=1.0)
  monkeypatch.setattr(detection, 'records_of', lambda *_: [])
  monkeypatch.setattr(detection.pipeline, 'ordered_batches', lambda *_: [])
  monkeypatch.setattr(detection, 'scans_of', lambda *_, **__: [scan])
  monkeypatch.setattr(detection, 'scored', lambda *_: (scores, inside))
  monkeypatch.setattr(detection, 'detected', lambda *_: inside)
  with pytest.raises(BadScan, match="anomaly map 'residual' of the scan is NaN"):
    detection.detect(prepared, run, 0.5)
  scores[1, 1, 1] = 1
  assert detection.detect(prepared, run, 0.5).scores[1, 1, 1] == 1
