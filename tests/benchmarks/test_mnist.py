"""One-class MNIST: its files, the protocol, and the command."""

import gzip
import json

import numpy as np
import pytest

from benchmarks import digits, mnist


def idx(array):
  """Bytes of an array in the format IDX."""
  shape = np.array(array.shape, '>u4').tobytes()
  return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


@pytest.fixture(scope='module')
def data():
  """scikit-learn's digits at the size of MNIST."""
  images, targets = digits.digits()
  larger = np.kron(images[..., 0], np.ones((1, 3, 3)))
  larger = np.uint8(np.pad(255 * larger, [(0, 0), (2, 2), (2, 2)]))
  return mnist.Mnist(
    larger[:1200], np.uint8(targets[:1200]), larger[1200:], np.uint8(targets[1200:])
  )


@pytest.fixture
def archive(data, tmp_path):
  path = tmp_path / 'mnist.npz'
  names = 'x_train', 'y_train', 'x_test', 'y_test'
  np.savez(path, **dict(zip(names, data, strict=True)))
  return path


@pytest.fixture
def folder(data, tmp_path):
  path = tmp_path / 'raw'
  path.mkdir()
  names = [
    f'{p}-{k}-ubyte' for p in ('train', 't10k') for k in ('images-idx3', 'labels-idx1')
  ]
  for name, array in zip(names, data, strict=True):
    (path / name).write_bytes(idx(array))
  packed = path / names[2]
  packed.with_name(f'{names[2]}.gz').write_bytes(gzip.compress(packed.read_bytes()))
  packed.unlink()
  return path


def test_the_archive_and_the_files_give_the_same_arrays(data, archive, folder):
  for path in (archive, folder):
    for array, expected in zip(mnist.read(path), data, strict=True):
      np.testing.assert_array_equal(array, expected)


def test_one_digit_is_trained_and_all_test_images_are_tested(data, archive):
  train, test, other = mnist.split(str(archive), 50, 4, seed=0)
  assert train.shape == (50, 28, 28, 1) and test.shape == (597, 28, 28, 1)
  assert train.max() == test.max() == 1 and train.dtype == np.float32
  of_digit = {image.tobytes() for image in data.train_images[data.train_digits == 4]}
  assert {np.uint8(255 * x[..., 0] + 0.5).tobytes() for x in train} <= of_digit
  np.testing.assert_array_equal(other, data.test_digits != 4)
  everything = mnist.split(str(archive), None, 4, seed=0).train
  assert len(everything) == len(of_digit)
  assert not np.array_equal(mnist.split(str(archive), 50, 4, seed=1).train, train)


def test_the_command_keeps_results_and_writes_the_page(archive, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'docs').mkdir()
  monkeypatch.setattr('sys.argv', ['mnist', f'--data={archive}', '--rows=knn'])
  mnist.main()
  values = json.loads((tmp_path / 'docs/mnist.json').read_text())['knn']['0']
  assert len(values) == 10 and min(values) > 0.9
  page = (tmp_path / 'docs/mnist.md').read_text()
  assert (
    page.startswith('# One-class MNIST') and f'| knn | {np.mean(values):.3f}' in page
  )
  monkeypatch.setattr('sys.argv', ['mnist', '--rows=kde'])
  with pytest.raises(SystemExit, match='mnist: --data is missing'):
    mnist.main()


@pytest.mark.parametrize('name', [*digits.METHODS])
@pytest.mark.slow
def test_a_method_trains_on_images_of_this_size(name, archive, monkeypatch):
  row = digits.METHODS[name]
  short = row._replace(steps=tuple(2 for _ in row.steps))
  monkeypatch.setitem(digits.METHODS, name, short)
  train, test, _ = mnist.split(str(archive), None, 4, seed=0)
  scores = digits.by_method(name, train, test[:40], 0, 1)
  assert scores.shape == (40,) and np.isfinite(scores).all()


def test_other_files_are_refused_in_one_sentence(folder, tmp_path):
  labels = folder / 'train-labels-idx1-ubyte'
  whole = labels.read_bytes()
  for content in (b'', whole[:-1], b'\0\0\x0d' + whole[3:], whole[:6]):
    labels.write_bytes(content)
    with pytest.raises(ValueError, match='idx1-ubyte is no whole IDX file of bytes'):
      mnist.read(folder)
  labels.write_bytes(idx(np.zeros(7, np.uint8)))
  with pytest.raises(ValueError, match=r'images of shape \(1200, 28, 28\) with digits'):
    mnist.read(folder)
  labels.unlink()
  with pytest.raises(ValueError, match='idx1-ubyte, or train-labels-idx1-ubyte.gz: '):
    mnist.read(folder)
  other = tmp_path / 'other.npz'
  with pytest.raises(ValueError, match='other.npz is no archive with x_train, y_train'):
    mnist.read(other)
  np.savez(other, x_train=np.zeros(3))
  with pytest.raises(ValueError, match='other.npz is no archive with x_train, y_train'):
    mnist.read(other)
