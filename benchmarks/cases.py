"""Cases to be timed; each is a pair of functions, ours in JAX and the same in PyTorch.

Both functions compute the same from the same arrays (`test_parity.py` checks it for the
networks). The PyTorch function is None if PyTorch is not installed.
"""

from collections.abc import Callable

import jax
import numpy as np

from benchmarks import method_cases, volume_cases
from benchmarks.pairs import (
  Case,
  noise,
  our_output,
  our_step,
  planes,
  run,
  scans,
  their_output,
  their_step,
  torch,
)
from uad_jax.data import pipeline
from uad_jax.evaluation import histogram
from uad_jax.methods import dae
from uad_jax.registration import flow, similarity
from uad_jax.registration.warp import warp

if torch:
  from benchmarks import torch_dae


def training_step(batch: int = 16, size: int = 128) -> Case:
  """One update of `dae` with Adam and all of its losses."""
  data = scans(batch, size, size)
  method = dae.make((size, size), warm_up=0.0, ramp=0.0)
  ours = our_step(method, data, 'autoencoder', learning_rate=5e-4)
  if torch is None:
    return Case(ours, None)
  net = torch_dae.TorchDae().to(memory_format=torch.channels_last)
  x = planes(data['image'])
  return Case(ours, their_step(net, lambda: torch_dae.loss(net, x, beta=1.0), lr=5e-4))


def inference(batch: int = 16, size: int = 128) -> Case:
  """Reconstruction by `dae` with running statistics."""
  data = scans(batch, size, size)
  ours = our_output(dae.make((size, size)), data, 'reconstruction')
  if torch is None:
    return Case(ours, None)
  net = torch_dae.TorchDae().to(memory_format=torch.channels_last).eval()
  x = planes(data['image'])

  def infer():
    prior, velocity = net(x)
    torch_dae.warp(prior, torch_dae.integrate(velocity))

  return Case(ours, their_output(infer))


def forward_and_back(ours: Callable, theirs: Callable | None, *arrays) -> Case:
  """Derivatives of sum(f(arrays)^2) with respect to all arrays.

  Args:
    ours: The function f in JAX.
    theirs: The function f in PyTorch, None without PyTorch.
    arrays: [B, *S, C] inputs of f.
  """

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
  """Values of a function, without derivatives; arguments as in `forward_and_back`."""
  mine = run(ours, *arrays)
  if torch is None:
    return Case(mine, None)
  tensors = [planes(x) for x in arrays]
  return Case(mine, their_output(lambda: theirs(*tensors)))


def operations() -> dict[str, Callable[[], Case]]:
  """Cases of the single operations (warp, integrate, ncc), by name."""
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
  """Average precision of scores with 1 % lesion voxels; PyTorch sorts all scores."""
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
  """Shuffled batches of records that are in memory; in PyTorch with its DataLoader."""
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
  **method_cases.CASES,
  **volume_cases.CASES,
  **operations(),
  'average precision of 1e8 voxels': precision_of_many,
  'input pipeline, 50 batches of 16 x 128 x 128': reading,
}
