"""A stream of a run whose moments hold healthy scans begins on maps without them."""

import numpy as np
import pytest

from tests.data.heads import tree
from tests.small_run import make_config
from uad_jax import run_folder, trained_run
from uad_jax.few_shot.adapt import adapt
from uad_jax.few_shot.adapted_config import read_adaptation
from uad_jax.prediction import calibration, online_start
from uad_jax.prediction.detection import detect

LABELS = {'patterns': {'labels': 'derivatives/dlmuse/sub-*/anat/*_dseg.nii*'}}


@pytest.fixture(scope='module')
def adapted(small_run, tmp_path_factory):
  """Runs of the atlas, adapted by `voxel_moments` to two and three of three heads."""
  root = tmp_path_factory.mktemp('atlas')
  config = make_config(small_run[1], small_run[0].data.dir)
  config.method = {'name': 'atlas'}
  run_folder.run(config, str(root / 'run'))
  heads = tree(root / 'clinic', ['sub-40', 'sub-41', 'sub-42'])
  moments = read_adaptation('voxel_moments')
  moments.few_shot.voxel_moments.pseudo_count = 4.0
  folders = {2: root / '2', 3: root / '3'}
  for subjects, folder in folders.items():
    adapt(str(root / 'run'), moments, str(heads), str(folder), subjects, changes=LABELS)
  return {subjects: trained_run.load(folder) for subjects, folder in folders.items()}


def test_each_healthy_scan_is_inferred_without_itself(adapted, monkeypatch):
  monkeypatch.setattr(online_start, 'check_number_of', lambda *_: None)
  entries = online_start.healthy_scans(adapted[3], True)
  assert [entry.subject for entry in entries] == ['sub-40', 'sub-41', 'sub-42']
  maps = {
    number: online_start.healthy_maps(run, True, 1) for number, run in adapted.items()
  }
  # Oracle: the run adapted to the two others, which has never seen the third head.
  two = online_start.stats_without(adapted[2])
  (unseen,) = [i for i, entry in enumerate(entries) if entry.subject not in two]
  prepared = calibration.prepare(entries[unseen], adapted[3].steps)
  alone, among = (detect(prepared, run, 1.0).scores for run in adapted.values())
  expected = pytest.approx(alone, abs=1e-5)
  assert maps[3][unseen].anomaly == expected and maps[2][unseen].anomaly == expected
  assert np.abs(among - alone).max() > 1e-3
