"""The state of a stream and the results agree after kills, failures and mistakes."""

import json
import shutil
import signal

import pytest

from tests.online.synthetic_stream import leaves
from tests.prediction.stream.online_run import (
  LABELS,
  STEMS,
  content_of,
  predicted,
  saved,
)
from uad_jax import trained_run
from uad_jax.data.locks import Busy
from uad_jax.data.preprocessing import nifti
from uad_jax.prediction import (
  batch,
  calibration,
  native_space,
  online,
  online_start,
  plan,
)
from uad_jax.train import Interrupted


@pytest.mark.slow
def test_a_kill_between_results_and_state_loses_one_step(
  run, source, state, tmp_path, monkeypatch
):
  whole = shutil.copy(state, tmp_path / 'whole.npz')
  predicted(run, source, tmp_path / 'whole', whole)
  out, commit, calls = tmp_path / 'out', online.committed, []

  def killed(session):
    calls.append(session)
    if len(calls) == 2:
      raise KeyboardInterrupt
    return commit(session)

  monkeypatch.setattr(online, 'committed', killed)
  handler = signal.getsignal(signal.SIGINT)
  try:
    with pytest.raises(Interrupted, match='2 of 3 scans are predicted'):
      predicted(run, source, out, state)
  finally:
    signal.signal(signal.SIGINT, handler)
  monkeypatch.undo()
  monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')
  assert len(saved(run, state).log) == 1 and (out / f'{STEMS[1]}.json').exists()
  assert predicted(run, source, out, state)[:3] == (3, 1, [])
  assert leaves(saved(run, state).stream) == leaves(saved(run, whole).stream)
  assert saved(run, state).log == saved(run, whole).log
  for stem in STEMS:
    assert (
      content_of(out, stem)['online']
      == (content_of(tmp_path / 'whole', stem)['online'])
    )


def test_results_that_cannot_be_written_leave_the_state_as_it_was(
  run, source, state, tmp_path, monkeypatch
):
  before = state.read_bytes()
  monkeypatch.setattr(batch, 'write', lambda *_: (_ for _ in ()).throw(OSError('full')))
  with pytest.raises(OSError, match='full'):
    predicted(run, source, tmp_path / 'out', state)
  assert state.read_bytes() == before


def test_a_scan_without_the_result_of_its_decision_is_no_new_scan(
  run, source, state, tmp_path
):
  predicted(run, source, tmp_path / 'out', state)
  before = state.read_bytes()
  with pytest.raises(nifti.BadScan, match='was decided at step 0 of the stream.*one'):
    predicted(run, source, tmp_path / 'other', state)
  assert not (tmp_path / 'other').exists()
  summary = predicted(run, source, tmp_path / 'other', state, keep_going=True)
  assert summary.predicted == 0 and len(summary.failed) == 3
  assert state.read_bytes() == before


def test_states_that_do_not_fit_are_refused_before_anything_is_written(
  run, source, state, tmp_path, monkeypatch
):
  out, before = tmp_path / 'out', state.read_bytes()
  other = trained_run.load(run.folder, 'standardised')
  with pytest.raises(ValueError, match='is the state of model .* allowed is that of'):
    predicted(other, source, out, state)
  with pytest.raises(ValueError, match='from files; allowed is .* with estimated'):
    predicted(run, source, out, state, labels='')
  tasks = plan.plan(plan.search(str(source)), out, labels=LABELS)
  with online.opened(str(state), run, tasks, 1):
    with pytest.raises(Busy, match='is in use by process .*one at a time'):
      predicted(run, source, out, state)
  assert state.read_bytes() == before
  state.write_bytes(before[:-100])
  with pytest.raises(ValueError, match='state.npz is damaged; allowed is a whole'):
    predicted(run, source, out, state)
  few = calibration.validation_scans(None, '')[:8]
  monkeypatch.setattr(calibration, 'validation_scans', lambda config, kept: few)
  with pytest.raises(ValueError, match='has 8 healthy .*begins on 9 .*recalibration'):
    predicted(run, source, out, tmp_path / 'new.npz')
  assert sorted(path.name for path in tmp_path.iterdir()) == ['state.npz']


def test_a_stream_begins_on_one_scan_a_subject(run, entries, monkeypatch):
  again = [one._replace(session='2', image=f'{one.image}.2') for one in entries]
  sessions = [scan for pair in zip(entries, again, strict=True) for scan in pair]
  monkeypatch.setattr(calibration, 'validation_scans', lambda config, kept: sessions)
  assert online_start.healthy_scans(run, True) == entries
  few = sessions[:16]
  monkeypatch.setattr(calibration, 'validation_scans', lambda config, kept: few)
  with pytest.raises(ValueError, match='has 8 healthy validation subjects .*begins'):
    online_start.healthy_scans(run, True)


def test_a_state_outlives_another_evaluation_but_no_other_parameters(run, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(run.folder, folder)
  results = json.loads((folder / 'results.json').read_text())
  results['run']['written'] = 'later'
  results['healthy_validation'] = {}
  (folder / 'results.json').write_text(json.dumps(results))
  again = trained_run.load(folder)._replace(thresholds={'1': 9.0})
  known = online_start.model_of(run, True)
  assert online_start.model_of(again, True) == known
  moved = again._replace(stats=(again.stats, 1.0))
  assert online_start.model_of(moved, True) != known
  assert online_start.model_of(again._replace(slice_step=2), True) != known
