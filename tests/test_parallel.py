import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from uad_jax import parallel
from uad_jax.methods import vae
from uad_jax.update import init_state, make_update


def test_batch_size_must_divide():
  with pytest.raises(ValueError, match='batch_size 6 does not divide over 4 devices'):
    parallel.check_batch_size(6, parallel.mesh())


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='Linux tells')
def test_a_process_makes_no_more_devices_than_it_has_cores():
  program = (
    'import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n'
    'from uad_jax import parallel; parallel.split_cpu()\n'
    'import jax; print(parallel.usable_cores(), jax.local_device_count())'
  )
  plain = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  told = subprocess.run(
    [sys.executable, '-c', program],
    env=plain,
    capture_output=True,
    text=True,
    check=True,
  )
  assert told.stdout.split() == ['1', '1']


SHORT_STEPS = """
from uad_jax import parallel; parallel.split_cpu()
import jax, optax
import jax.numpy as jnp
from uad_jax import checkpoint, train
from uad_jax.method import Method, Objective
from uad_jax.update import init_state

def loss(params, stats, batch, key, step):
  return ((params['w'] * batch['image']) ** 2).mean(), (stats, {})

class Stream:
  def __next__(self): return {'image': jnp.ones((8, 4))}
  def get_state(self): return {}

method = Method(
  lambda key, batch: ({'w': jnp.ones(4)}, {}),
  {name: Objective(loss, ('w',)) for name in 'abcdef'},
  None,
)
tx = {name: optax.sgd(0.1) for name in method.objectives}
state = init_state(method, tx, jax.random.key(0), next(Stream()))
state = parallel.replicate(state, parallel.mesh())
state = train.train(
  method, tx, (2000,), state, {'train': Stream()}, jax.random.key(0),
  checkpoint.manager(FOLDER), log=lambda *_: None, save_every=9999,
)
print(jax.device_count(), int(state.step))
"""


def test_short_steps_on_several_devices_do_not_wait_for_each_other_for_ever(tmp_path):
  plain = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  ran = subprocess.run(
    [sys.executable, '-c', SHORT_STEPS.replace('FOLDER', repr(str(tmp_path)))],
    env=plain | {'UAD_CPU_DEVICES': '2'},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert ran.stdout.split() == ['2', '2000'], ran.stderr[-500:]


def test_items_come_back_in_the_order_in_which_they_were_dealt(monkeypatch):
  monkeypatch.setattr(parallel, 'gather', lambda _: [[(0,), (2,), (4,)], [(1,), (3,)]])
  assert parallel.by_turns([0, 2, 4]) == [0, 1, 2, 3, 4]


def test_four_devices_give_the_update_of_one(key):
  assert jax.device_count() == 4
  method = vae.make((16, 16), widths=(8, 8), latent=2)
  rng = np.random.default_rng(0)
  batch = {
    'image': rng.random((8, 16, 16, 1), np.float32),
    'mask': np.ones((8, 16, 16, 1), np.float32),
    'position': np.linspace(0, 1, 8, dtype=np.float32),
    'weight': np.ones(8, np.float32),
  }
  tx = {'vae': optax.sgd(0.05)}  # Adam would magnify rounding where gradients vanish
  alone = init_state(method, tx, key, batch)
  devices = parallel.mesh()
  # Made anew, not copied: the update donates its state.
  spread = parallel.replicate(init_state(method, tx, key, batch), devices)
  for _ in range(3):
    alone, _ = make_update(method, tx, (9,))(('vae',))(alone, {'train': batch}, key)
    placed = {'train': parallel.shard(batch, devices)}
    spread, _ = make_update(method, tx, (9,))(('vae',))(spread, placed, key)
  leaf = jax.tree.leaves(spread.params)[0]
  assert len(leaf.sharding.device_set) == 4

  def near(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

  jax.tree.map(near, jax.device_get(alone.params), jax.device_get(spread.params))
