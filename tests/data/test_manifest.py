import hashlib

import numpy as np
import pytest

from uad_jax.data import manifest
from uad_jax.data.preprocessing import preprocess


def prepared(**changes):
  ones = np.ones((2, 3, 4, 1), np.float32)
  made = preprocess.Prepared(
    image=ones,
    mask=ones.astype(np.uint8),
    labels=ones.astype(np.uint8),
    lesion=ones.astype(np.uint8),
    twin=None,
    affine=np.eye(4),
    to_scan=np.eye(4),
    native_shape=(2, 3, 4),
    native_affine=np.eye(4),
    slices=(0, 1),
    chain=[],
  )
  return made._replace(**changes)


def volumes(*names):
  return [
    {
      'subject': name,
      'session': '',
      'split': 'train',
      'sha256': hashlib.sha256(name.encode()).hexdigest(),
    }
    for name in names
  ]


def test_the_fingerprint_moves_with_any_array():
  image = prepared().image.copy()
  image[1, 1, 1] += 1e-6
  moved = np.eye(4)
  moved[0, 3] = 1
  variants = [
    prepared(),
    prepared(image=image),
    prepared(twin=image),
    prepared(affine=moved),
    prepared(to_scan=moved),
    prepared(slices=(0,)),
    prepared(mask=np.zeros((2, 3, 4, 1), np.uint8)),
  ]
  assert len({manifest.fingerprint(v) for v in variants}) == len(variants)
  assert manifest.fingerprint(prepared()) == manifest.fingerprint(prepared())
  assert len(manifest.fingerprint(prepared())) == 64


def test_same_is_about_volumes_not_about_where_they_came_from(tmp_path):
  one = manifest.make({'source': '/a'}, volumes('x', 'y'))
  two = manifest.make({'source': '/b'}, volumes('y', 'x'))
  other = manifest.make({'source': '/a'}, volumes('x', 'z'))
  manifest.write(one, tmp_path)
  assert manifest.read(tmp_path) == one
  assert manifest.same(one, two)
  assert not manifest.same(one, other)


def test_another_version_is_another_digest(monkeypatch):
  one = manifest.make({}, volumes('x'))
  monkeypatch.setattr(manifest, 'VERSION', 'next')
  assert not manifest.same(one, manifest.make({}, volumes('x')))


def test_no_manifest_gets_a_sentence(tmp_path):
  with pytest.raises(FileNotFoundError, match='manifest.json; allowed is a finished'):
    manifest.read(tmp_path)
