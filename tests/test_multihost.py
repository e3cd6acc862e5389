"""Two processes train as two hosts would; a resumed pair ends as an unbroken one."""

import json
import os
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.conftest import ROOT
from tests.data.heads import tree
from tests.small_run import make_config
from uad_jax import (
  checkpoint,
  experiment,
  prepared_data,
  registry,
  resume,
  run_folder,
  trained_run,
)

CONFIG = """
import json
from ml_collections import ConfigDict

def get_config(arg=''):
  return ConfigDict(json.loads({text!r}))
"""


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def together(config, workdir, until='train') -> None:
  """Runs the main job in two processes and waits for both."""
  address = f'127.0.0.1:{free_port()}'
  hosts = [
    subprocess.Popen(
      [sys.executable, '-m', 'uad_jax.main', f'--config={config}',
       f'--workdir={workdir}', f'--until={until}'],
      cwd=ROOT, stderr=subprocess.PIPE, text=True,
      env={**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu',
           'UAD_CPU_DEVICES': '1', 'UAD_COORDINATOR': address, 'UAD_HOSTS': '2',
           'UAD_HOST': str(host)},
    )
    for host in range(2)
  ]  # fmt: skip
  said = [host.communicate(timeout=300)[1] for host in hosts]
  assert [host.returncode for host in hosts] == [0, 0], '\n'.join(said)


def pooled(workdir) -> dict[str, float]:
  """Every pooled number of a run."""
  summary = json.loads((workdir / 'results.json').read_text())
  assert summary['data']['scans'] == 3
  return {
    f'{scorer} {name}': estimate['value']
    for scorer, found in summary['scorers'].items()
    for name, estimate in found['pooled'].items()
    if estimate['value'] is not None  # no scan of this cohort has a lesion
  }


@pytest.mark.slow
def test_two_hosts_train_resume_and_evaluate(tmp_path):
  table = 'participant_id\tsplit\n' + ''.join(
    f'sub-{i:02d}\t{split}\n'
    for i, split in enumerate(['train'] * 4 + ['val'] + ['test'] * 3)
  )
  tree(tmp_path / 'heads', [f'sub-{i:02d}' for i in range(8)], table)
  config = registry.plain(make_config(tmp_path / 'heads', tmp_path / 'data'))
  text, config = json.dumps(config), ConfigDict(config)
  prepared_data.open_data(config.data)
  path = tmp_path / 'config.py'
  path.write_text(CONFIG.format(text=text))
  run = tmp_path / 'run'
  together(path, run)

  def final():
    opened = trained_run.open_run(run)
    assert int(opened.state.step) == config.steps[0]
    return jax.device_get(opened.state)

  first = final()
  start = jax.device_get(resume.fresh_state(experiment.build(config)))
  moved = [
    not np.array_equal(a, b)
    for a, b in zip(
      jax.tree.leaves(start.params), jax.tree.leaves(first.params), strict=True
    )
  ]
  assert any(moved)
  manager = checkpoint.manager(run / 'checkpoints')
  newest = max(manager.all_steps())
  manager.close()
  shutil.rmtree(run / 'checkpoints' / str(newest))
  together(path, run)
  jax.tree.map(np.testing.assert_array_equal, first, final())
  # The validation has one scan, so that one host has nothing to do there.
  together(path, run, 'report')
  alone = tmp_path / 'alone'
  shutil.copytree(run, alone)
  (alone / 'results.json').unlink()
  run_folder.run(config, str(alone))
  assert pooled(run) == pytest.approx(pooled(alone), rel=1e-3)
