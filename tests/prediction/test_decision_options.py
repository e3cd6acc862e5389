"""Options of the command choose by what rule voxels are marked."""

import json
import types

import pytest

from tests.small_run import world as world  # the finished run
from uad_jax import predict
from uad_jax.prediction import native_space


@pytest.fixture
def command(world, monkeypatch, capsys):
  """The command on a scan: its exit status and the lines that it prints."""

  def run(scan, output, **options):
    values = dict.fromkeys(
      ('pattern', 'scorer', 'percent', 'online', 'feedback', *predict.MASKS), ''
    )
    values |= {'keep_going': False, 'alpha': None, 'refuse': False, 'workers': 1}
    values |= {'checkpoint': world[2], 'input': scan, 'output': output, **options}
    monkeypatch.setattr(predict, 'FLAGS', types.SimpleNamespace(**values))
    monkeypatch.setattr(predict.signal, 'signal', lambda *_: None)
    monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')
    predict.main([])
    return capsys.readouterr().out.splitlines()

  return run


def test_options_of_the_command_choose_the_decision(world, tmp_path, command):
  labels = {'labels': str(next(world[1].glob('derivatives/dlmuse/sub-04/anat/*')))}
  scan = next(world[1].glob('sub-04/anat/*_T1w.nii*'))
  with pytest.raises(ValueError, match='percent 5 and alpha 0.1 exclude each other'):
    command(scan, tmp_path, percent='5', alpha=0.1, **labels)
  assert not [*tmp_path.iterdir()]

  def sidecar(**options):
    lines = command(scan, tmp_path, **labels, **options)
    path = tmp_path / f'{scan.name.split(".")[0]}.json'
    return lines, json.loads(path.read_text())

  lines, content = sidecar()
  assert content['decision'] == 'components'
  assert lines[-2].startswith('note: with 1 healthy scans the smallest p-value is 0.5')
  made = predict.predict(scan, world[2], labels=labels['labels'])
  assert made.components == content['components']
  assert made.facts.items() <= content.items() and content['healthy_scans'] == 1
  lines, content = sidecar(alpha=0.5)
  assert content['alpha'] == 0.5 and len(lines) == 1 and '1 of 1 scans' in lines[0]
  assert sidecar(percent='5')[1]['decision'] == 'voxels'
  assert sidecar(percent='5')[0][-1].endswith('1 of 1 were done already')
