"""Training step of a config on random images, for benchmarks."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from uad_jax import experiment, parallel
from uad_jax.update import init_state, make_update


def training_step(
  config: ConfigDict, shape: tuple[int, ...], batch: int, steps: int = 1
) -> Callable[[], None]:
  """Makes a function that does training steps, and returns when they are done.

  Args:
    config: Config of the method; of its stages all objectives are updated.
    shape: Spatial shape of the images.
    batch: Number of images in a batch.
    steps: Number of steps of a call.
  """
  method = experiment.make_method(config, shape, 1)
  tx = experiment.make_optimisers(config, method)
  mask = np.ones((batch, *shape, 1), 'float32')
  image = np.random.default_rng(0).uniform(size=mask.shape).astype('float32')
  weight = np.ones(batch, 'float32')
  images = {'image': image, 'mask': mask, 'position': weight / 2, 'weight': weight}
  mesh, key = parallel.mesh(), jax.random.key(0)
  start = parallel.jit(lambda key, images: init_state(method, tx, key, images))
  state = parallel.replicate(start(key, images), mesh)
  batches = {'train': parallel.shard(images, mesh)}
  update = make_update(method, tx, (1 << 30,))(tuple(method.objectives))

  def some() -> None:
    nonlocal state
    for _ in range(steps):
      state, _ = update(state, batches, key)
    jax.block_until_ready(state)

  return some
