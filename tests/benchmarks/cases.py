"""What is timed: each case is a pair of functions that run once, ours and PyTorch's.

Both compute the same thing from the same arrays (`test_parity.py` holds the network to
that); PyTorch's is None where it is not installed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax import optimise, parallel
from uad_jax.data import pipeline
from uad_jax.evaluation import histogram
from uad_jax.method import init_state, make_update
from uad_jax.methods import dae
from uad_jax.registration import flow, similarity
from uad_jax.registration.warp import warp

try:
  import torch

  from tests.benchmarks import torch_dae
except ImportError:
  torch = None


class Case(NamedTuple):
  """A pair to be timed, after both have run twice."""

  ours: Callable[[], None]
  theirs: Callable[[], None] | None


def noise(*shape, seed=0) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=shape).astype('float32')


def run(function, *arguments) -> Callable[[], None]:
  """The jitted function of arrays split over the devices by their batch."""
  mesh = parallel.mesh()
  if len(arguments[0]) % mesh.size == 0:
    arguments = parallel.shard(dict(enumerate(arguments)), mesh).values()
  else:
    arguments = [jnp.asarray(x) for x in arguments]
  compiled = parallel.jit(function, quick=False)
  return lambda: jax.block_until_ready(compiled(*arguments))


def planes(x: np.ndarray):
  """[B, *S, C] as a channels-last tensor [B, C, *S]."""
  x = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
  last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
  return x.contiguous(memory_format=last)


def training_step(batch: int = 16, size: int = 128) -> Case:
  """One update of `dae` by Adam, with all of its losses."""
  image = np.random.default_rng(0).uniform(size=(batch, size, size, 1))
  image = image.astype('float32')
  method = dae.make((size, size), warm_up=0.0, ramp=0.0)
  options = {'name': 'adam', 'schedule': 'constant', 'clip': 0.0}
  tx = {'autoencoder': optimise.make(1, learning_rate=5e-4, **options)}
  mesh = parallel.mesh()
  data = parallel.shard({'image': image, 'weight': np.ones(batch, 'float32')}, mesh)
  key = jax.random.key(0)
  start = jax.jit(lambda k, x: init_state(method, tx, k, x))
  state = parallel.replicate(start(key, jax.device_get(data)), mesh)
  update = make_update(method, tx, (1 << 30,))(('autoencoder',))

  def ours():
    nonlocal state
    state, _ = update(state, {'train': data}, key)
    jax.block_until_ready(state)

  if torch is None:
    return Case(ours, None)
  net = torch_dae.TorchDae().to(memory_format=torch.channels_last)
  optimiser = torch.optim.Adam(net.parameters(), 5e-4)
  x = planes(image)

  def theirs():
    optimiser.zero_grad()
    torch_dae.loss(net, x, beta=1.0).backward()
    optimiser.step()

  return Case(ours, theirs)


def inference(batch: int = 16, size: int = 128) -> Case:
  """The reconstruction by `dae` from its running statistics."""
  image = np.random.default_rng(0).uniform(size=(batch, size, size, 1))
  image = image.astype('float32')
  method = dae.make((size, size))
  example = {'image': image, 'weight': np.ones(batch, 'float32')}
  params, stats = jax.jit(method.init)(jax.random.key(0), example)

  def infer(x, weight):
    batch = {'image': x, 'weight': weight}
    return method.infer(params, stats, batch, None)['reconstruction']

  ours = run(infer, image, example['weight'])
  if torch is None:
    return Case(ours, None)
  net = torch_dae.TorchDae().to(memory_format=torch.channels_last).eval()
  x = planes(image)

  def theirs():
    with torch.no_grad():
      prior, velocity = net(x)
      torch_dae.warp(prior, torch_dae.integrate(velocity))

  return Case(ours, theirs)


def forward_and_back(ours: Callable, theirs: Callable | None, *arrays) -> Case:
  """The derivative of sum(f(arrays)^2) in all arrays."""

  def square(*x):
    return (ours(*x) ** 2).sum()

  mine = run(jax.value_and_grad(square, tuple(range(len(arrays)))), *arrays)
  if torch is None:
    return Case(mine, None)
  tensors = [planes(x).requires_grad_() for x in arrays]

  def other():
    torch.autograd.grad((theirs(*tensors) ** 2).sum(), tensors)

  return Case(mine, other)


def forward(ours: Callable, theirs: Callable | None, *arrays) -> Case:
  mine = run(ours, *arrays)
  if torch is None:
    return Case(mine, None)
  tensors = [planes(x) for x in arrays]

  def other():
    with torch.no_grad():
      theirs(*tensors)

  return Case(mine, other)


def operations() -> dict[str, Callable[[], Case]]:
  theirs = torch_dae if torch else None
  flat, solid = (16, 128, 128), (2, 64, 64, 64)

  def pair(name):
    return getattr(theirs, name) if theirs else None

  def correlation(a, b):
    return similarity.ncc_loss(a, b).mean()

  def case(kind, ours, other, *shapes):
    arrays = [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
    return lambda: kind(ours, pair(other), *arrays)

  table = {}
  for kind in (forward, forward_and_back):
    label = kind.__name__.replace('_', ' ')
    table |= {
      f'warp 2-D, {label}': case(kind, warp, 'warp', (*flat, 1), (*flat, 2)),
      f'warp 3-D, {label}': case(kind, warp, 'warp', (*solid, 1), (*solid, 3)),
      f'integrate 2-D, {label}': case(kind, flow.integrate, 'integrate', (*flat, 2)),
      f'ncc 2-D, {label}': case(kind, correlation, 'ncc_loss', (*flat, 1), (*flat, 1)),
    }
  return table


def precision_of_many(voxels: int = 10**8) -> Case:
  """Average precision of scores with 1 % lesion voxels; PyTorch sorts them all."""
  scores = noise(voxels)
  lesion = np.random.default_rng(1).random(voxels, 'float32') < 0.01

  def ours():
    found = histogram.histogram(scores, lesion)
    histogram.ranking(found.healthy, found.lesion)

  if torch is None:
    return Case(ours, None)
  tensor, truth = torch.from_numpy(scores), torch.from_numpy(lesion)

  def theirs():
    hits = truth[tensor.argsort(descending=True)].cumsum(0)
    # The mean over the lesion voxels of the precision at their rank.
    precision = hits / torch.arange(1, len(hits) + 1)
    precision[hits.diff(prepend=torch.zeros(1, dtype=hits.dtype)) > 0].mean()

  return Case(ours, theirs)


def reading(batches: int = 50, batch: int = 16, size: int = 128) -> Case:
  """Shuffled batches of records that are in memory; PyTorch's by its DataLoader."""
  shape = (400, size, size, 1)
  images, masks = noise(*shape), np.ones(shape, np.float32)
  records = [
    {'image': image, 'mask': mask, 'position': np.float32(0.5)}
    for image, mask in zip(images, masks, strict=True)
  ]
  stream = pipeline.training_stream(records, batch, seed=0)

  def ours():
    for _ in range(batches):
      next(stream)

  if torch is None:
    return Case(ours, None)
  loader = torch.utils.data.DataLoader(records, batch, shuffle=True, drop_last=True)

  def theirs():
    seen = 0
    while seen < batches:
      for _ in loader:
        seen += 1
        if seen == batches:
          break

  return Case(ours, theirs)


CASES = {
  'dae training step, 16 x 128 x 128': training_step,
  'dae inference, 16 x 128 x 128': inference,
  **operations(),
  'average precision of 1e8 voxels': precision_of_many,
  'input pipeline, 50 batches of 16 x 128 x 128': reading,
}
