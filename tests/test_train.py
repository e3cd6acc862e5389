import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.data.slice_records import make_records
from uad_jax import checkpoint, parallel, train
from uad_jax.data import pipeline
from uad_jax.method import Bound, Method, Objective
from uad_jax.update import init_state

ENDS = (8, 12)


def linear(poison=None):
  """Fits the mean image; gives NaN at step `poison`."""

  def loss(params, stats, batch, key, step):
    noise = 0.1 * jax.random.normal(key, (1,))
    apart = (params['w'] + noise)[None] - batch['image'].mean((1, 2))
    value = (apart**2).mean()
    if poison is not None:
      value = jnp.where(step == poison, jnp.nan, value)
    return value, (stats | {'seen': stats['seen'] + 1}, {})

  def init(key, batch):
    return {'w': jnp.zeros((1,))}, {'seen': jnp.zeros(())}

  objectives = {'fit': Objective(loss, ('w',)), 'late': Objective(loss, ('w',), 1)}
  return Method(init, objectives, None)


def start(folder, method, log=None, **options):
  """Trains in the folder, from its newest checkpoint; the final state and the log."""
  tx = {'fit': optax.adam(0.1), 'late': optax.adam(0.01)}
  stream = pipeline.training_stream(make_records(), 4, seed=0)
  example = {'image': jnp.zeros((4, 4, 4, 1))}
  state = init_state(method, tx, jax.random.key(0), example)
  state = parallel.replicate(state, parallel.mesh())
  manager = checkpoint.manager(folder)
  found = checkpoint.restore(manager, state)
  checkpoint.forget_after(manager, found[0] if found else -1)
  if found:
    _, state, positions = found
    stream.set_state(positions['train'])
  lines = []
  final = train.train(
    method,
    tx,
    ENDS,
    state,
    {'train': stream},
    jax.random.key(1),
    manager,
    log=log or (lambda step, metrics: lines.append((step, metrics))),
    log_every=2,
    **options,
  )
  return final, lines


def test_a_resumed_run_equals_the_uninterrupted_one_bitwise(tmp_path):
  whole, _ = start(tmp_path / 'whole', linear(), save_every=100)

  class Killed(Exception):
    pass

  def kill(step, metrics):
    if step >= 6:
      raise Killed

  with pytest.raises(Killed):
    start(tmp_path / 'cut', linear(), log=kill, save_every=5)
  resumed, lines = start(tmp_path / 'cut', linear(), save_every=5)
  assert lines[0][0] == 6  # it went on from step 5
  jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_sigterm_saves_and_leaves(tmp_path):
  def stop(step, metrics):
    if step == 4:
      os.kill(os.getpid(), signal.SIGTERM)

  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(train.Interrupted, match='stopped at step 5 of 12'):
    start(tmp_path, linear(), log=stop, save_every=100)
  assert list(checkpoint.manager(tmp_path).all_steps()) == [5]
  assert signal.getsignal(signal.SIGTERM) is before


def test_a_nan_names_step_objective_and_last_good_checkpoint(tmp_path):
  with pytest.raises(train.Diverged) as error:
    start(tmp_path, linear(poison=5), save_every=4)
  text = str(error.value)
  assert "step 5: objective 'fit' gave the loss nan" in text
  assert 'the last good checkpoint is step 4' in text
  assert list(checkpoint.manager(tmp_path).all_steps()) == [4]


def watched(*bounds):
  """Like `linear`, with a metric that is the step of the stage, and bounds on it."""
  plain = linear()
  fit = plain.objectives['fit']

  def loss(params, stats, batch, key, step):
    value, (stats, _) = fit.loss(params, stats, batch, key, step)
    return value, (stats, {'height': step * jnp.ones(())})

  objectives = {**plain.objectives, 'fit': fit._replace(loss=loss, bounds=bounds)}
  return plain._replace(objectives=objectives)


def test_a_metric_beyond_its_bound_is_told_once_and_training_goes_on(tmp_path, capfd):
  bound = Bound('height', high=1, sign_of='a rising flood')
  start(tmp_path, watched(bound))
  told = [x for x in capfd.readouterr().err.splitlines() if x.startswith('warning')]
  assert told == [
    "warning, step 4: objective 'fit' has height 2.5, above 1, a sign of a rising flood"
  ]


def test_the_first_steps_of_a_stage_may_be_left_out_of_a_bound(tmp_path, capfd):
  start(tmp_path, watched(Bound('height', high=1, after=6)))
  assert 'warning, step 8' in capfd.readouterr().err
  start(tmp_path / 'never', watched(Bound('height', low=0, high=7)))
  assert 'warning' not in capfd.readouterr().err


def test_a_fatal_bound_ends_the_training_and_keeps_the_last_good_checkpoint(tmp_path):
  bound = Bound('height', high=5, sign_of='divergence', fatal=True)
  with pytest.raises(train.Diverged, match='step 8: .* has height 6.5, above 5') as e:
    start(tmp_path, watched(bound), save_every=4)
  assert 'the last good checkpoint is step 4' in str(e.value)
  assert list(checkpoint.manager(tmp_path).all_steps()) == [4]


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(
  tmp_path, capfd
):
  whole, _ = start(tmp_path, linear(), save_every=4)
  assert sorted(checkpoint.manager(tmp_path).all_steps()) == [4, 8, 12]
  for path in (tmp_path / '12' / 'state').rglob('*'):
    if path.is_file():
      path.write_bytes(b'')
  again, lines = start(tmp_path, linear(), save_every=4)
  assert 'checkpoint 12' in capfd.readouterr().err
  assert lines[0][0] > 8
  jax.tree.map(np.testing.assert_array_equal, whole, again)


def test_when_no_checkpoint_can_be_read_training_begins_anew_and_is_saved(tmp_path):
  whole, _ = start(tmp_path, linear(), save_every=100)
  for path in (tmp_path / '12' / 'state').rglob('*'):
    if path.is_file():
      path.write_bytes(b'')
  again, lines = start(tmp_path, linear(), save_every=100)
  assert lines[0][0] == 2
  found = checkpoint.restore(checkpoint.manager(tmp_path), whole)
  assert found[0] == 12
  jax.tree.map(np.testing.assert_array_equal, found[1], again)


def test_progress_tells_losses_rate_and_time_left():
  metrics = {'fit/loss': 0.5, 'steps_per_second': 2.0, 'seconds_left': 65.0}
  line = train.log_line(10, 140, metrics)
  assert line == 'step 10/140  fit 0.5  2.00 steps/s  1:05 left'


def test_metrics_log_drops_what_a_resumed_run_does_again(tmp_path):
  from uad_jax.report.metrics_log import metrics_log

  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 2, "a": 1}\n{"step": 4, "a": 2}\n{"step": 6, "a"')
  with metrics_log(tmp_path) as write:
    write(4, {'a': 5.0})
    write(6, {'a': 6.0})
  found = [json.loads(line) for line in path.read_text().splitlines()]
  assert [(line['step'], line['a']) for line in found] == [(2, 1), (4, 5), (6, 6)]
