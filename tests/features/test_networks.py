"""VGG-19 and ResNet-50 against numpy, and the methods that take their weights."""

import numpy as np
import pytest
from scipy import signal

from uad_jax.features import networks
from uad_jax.nets import resnet, vgg

NETWORKS = {'vgg19': vgg, 'resnet50': resnet}


def random_weights(network, levels, seed=0):
  """Random arrays of a narrow network, by the names of torchvision."""
  random, arrays = np.random.default_rng(seed), {}

  def conv(name, inputs, outputs, edge):
    kernel = random.normal(size=(outputs, inputs, edge, edge))
    arrays[f'{name}.weight'] = np.float32(kernel / np.sqrt(inputs * edge**2))

  def norm(name, size):
    for part in resnet.NORM:
      arrays[f'{name}.{part}'] = np.float32(random.uniform(0.5, 1.5, size))

  if network == 'vgg19':
    width = 3
    for block in vgg.BLOCKS[: levels + 1]:
      for number in block:
        conv(f'features.{number}', width, width + 1, 3)
        width += 1
        arrays[f'features.{number}.bias'] = np.float32(random.normal(size=width))
    return arrays
  conv('conv1', 3, 4, 7)
  norm('bn1', 4)
  width = 4
  for layer, number in enumerate(resnet.BLOCKS[: levels - 1], 1):
    for index in range(number):
      name, outputs = f'layer{layer}.{index}', 4 + 2 * layer
      conv(f'{name}.conv1', width, 2, 1)
      conv(f'{name}.conv2', 2, 3, 3)
      conv(f'{name}.conv3', 3, outputs, 1)
      for i, size in enumerate((2, 3, outputs), 1):
        norm(f'{name}.bn{i}', size)
      if not index:
        conv(f'{name}.downsample.0', width, outputs, 1)
        norm(f'{name}.downsample.1', outputs)
      width = outputs
  return arrays


def convolved(x, kernel, stride=1):
  """Zero-padded convolution of [H, W, C] by scipy."""
  pad = kernel.shape[-1] // 2
  x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
  planes = [
    sum(signal.correlate2d(x[..., c], k[c], 'valid') for c in range(x.shape[-1]))
    for k in kernel
  ]
  return np.stack(planes, -1)[::stride, ::stride]


def pooled(x, edge, stride, pad):
  x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)), constant_values=-np.inf)
  windows = np.lib.stride_tricks.sliding_window_view(x, (edge, edge), (0, 1))
  return windows.max((-2, -1))[::stride, ::stride]


def vgg_by_hand(w, x, levels):
  maps = []
  for index, block in enumerate(vgg.BLOCKS[: levels + 1]):
    x = pooled(x, 2, 2, 0) if index else x
    for n in block:
      x = convolved(x, w[f'features.{n}.weight']) + w[f'features.{n}.bias']
      x = np.maximum(x, 0)
    maps.append(x)
  return maps[1:]


def resnet_by_hand(w, x, levels):
  def layer(x, conv, norm, stride=1):
    gain, bias, mean, variance = (w[f'{norm}.{part}'] for part in resnet.NORM)
    x = convolved(x, w[f'{conv}.weight'], stride)
    return (x - mean) / np.sqrt(variance + 1e-5) * gain + bias

  x = np.maximum(layer(x, 'conv1', 'bn1', 2), 0)
  maps, x = [x], pooled(x, 3, 2, 1)
  for number, blocks in enumerate(resnet.BLOCKS[: levels - 1], 1):
    for index in range(blocks):
      at = f'layer{number}.{index}'
      stride = 2 if number > 1 and not index else 1
      y = np.maximum(layer(x, f'{at}.conv1', f'{at}.bn1'), 0)
      y = np.maximum(layer(y, f'{at}.conv2', f'{at}.bn2', stride), 0)
      y = layer(y, f'{at}.conv3', f'{at}.bn3')
      if not index:
        x = layer(x, f'{at}.downsample.0', f'{at}.downsample.1', stride)
      x = np.maximum(x + y, 0)
    maps.append(x)
  return maps


BY_HAND = {'vgg19': vgg_by_hand, 'resnet50': resnet_by_hand}


@pytest.mark.parametrize('network', NETWORKS)
def test_maps_are_those_of_numpy(network):
  weights = random_weights(network, 3)
  assert sorted(weights) == sorted(NETWORKS[network].names(3))
  x = np.random.default_rng(1).normal(size=(24, 32, 3)).astype(np.float32)
  maps = NETWORKS[network].apply(weights, x[None], 3)
  expected = BY_HAND[network](weights, x.astype(float), 3)
  assert [m.shape[1:] for m in maps] == [e.shape for e in expected]
  for m, e in zip(maps, expected, strict=True):
    np.testing.assert_allclose(m[0], e, atol=1e-3 * np.abs(e).max())


def test_a_full_network_has_the_names_of_torchvision():
  # Counts of the published state dictionaries, without the classifier.
  assert len(vgg.names(vgg.LEVELS)) == 2 * 16
  assert len(resnet.names(resnet.LEVELS)) == 53 + 4 * 53


def test_weights_serve_a_method_and_errors_are_sentences(tmp_path):
  path = str(tmp_path / 'w.npz')
  np.savez(path, **random_weights('resnet50', 2))

  def build(network, weights, levels=2):
    return networks.build(network, weights, 1, (8,) * levels, 0.5, 4, 'fae')

  extractor = build('resnet50', path)
  image = np.random.default_rng(0).uniform(size=(2, 32, 32, 1)).astype(np.float32)
  params = extractor.init(None, {'image': image})
  assert [m.shape for m in extractor.maps(params, image)] == [
    (2, 16, 16, 4), (2, 8, 8, 6),
  ]  # fmt: skip
  assert not extractor.stages
  with pytest.raises(ValueError, match='is for slices; these are volumes'):
    extractor.init(None, {'image': image[..., None]})
  for network, weights, levels, sentence in (
    ('vgg19', path, 2, "holds no 'features.0.weight', so it is of another network"),
    ('resnet50', path, 3, "holds no 'layer2.0.conv1.weight'"),
    ('resnet50', path, 6, 'number of widths with resnet50 is 6'),
    ('resnet50', '', 2, "network 'resnet50' needs weights, a .npz file"),
    ('resnet50', str(tmp_path / 'none.npz'), 2, 'there is no file'),
    ('masked', path, 2, "network is 'masked', which is trained here"),
    (
      'alexnet',
      path,
      2,
      "unknown network 'alexnet'; there are masked, resnet50, vgg19",
    ),
  ):
    with pytest.raises(ValueError, match=sentence):
      build(network, weights, levels)
  (tmp_path / 'w.npz').write_text('no arrays')
  with pytest.raises(ValueError, match='is no .npz file'):
    build('resnet50', path)
