"""All methods side by side: which scans, which colours, which panels."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from tests import cohort
from uad_jax.comparison import showcase, side_by_side
from uad_jax.evaluation.cases import Case
from uad_jax.evaluation.scans import Scan, collect
from uad_jax.experiment import Experiment
from uad_jax.method import State

WHITE = 255


def scan(name, pathology, voxels):
  lesion = np.zeros((8, 8, 2, 1))
  lesion.reshape(-1)[:voxels] = 1
  arrays = {'mask': np.ones_like(lesion), 'lesion': lesion}
  return Scan(name, name, pathology, 'a', np.nan, 0.5, True, arrays)


def test_of_each_pathology_the_scan_of_median_volume_is_taken():
  scans = [
    scan('a', 'ms', 9), scan('b', 'ms', 40), scan('c', 'ms', 12),
    scan('h', 'none', 0),
    scan('d', 'stroke', 30), scan('e', 'stroke', 10),
    scan('f', 'stroke', 20), scan('g', 'stroke', 60),
  ]  # fmt: skip
  expected = {'c': 'ms, 6 ml', 'f': 'stroke, 10 ml'}
  assert showcase.median_volume_scans(scans) == expected
  assert showcase.median_volume_scans(reversed(scans)) == expected


def test_of_many_patients_one_of_each_third_by_volume_is_taken():
  scans = [scan(f'p{i:02}', 'stroke', 1 + i) for i in range(60)]
  chosen = showcase.median_volume_scans(reversed(scans))
  assert chosen == {
    'p09': 'stroke, 5 ml',
    'p29': 'stroke, 15 ml',
    'p49': 'stroke, 25 ml',
  }


def test_rarity_is_the_share_of_healthy_voxels_that_score_as_high(key):
  sample = cohort.run(key).samples['absolute']
  healthy = np.repeat(sample.edges, sample.healthy.sum(0))
  scores = np.quantile(healthy, [0.0, 0.2, 0.5, 0.9, 0.99])
  found = side_by_side.rarity(sample.edges, sample)
  assert (np.diff(found) >= 0).all()
  at = sample.edges[np.searchsorted(sample.edges, scores, 'right') - 1]
  exact = np.array([(healthy >= edge).mean() for edge in at])
  np.testing.assert_allclose(10 ** -side_by_side.rarity(scores, sample), exact, 1e-6)
  below, above = side_by_side.rarity(np.array([-9.0, 9.0]), sample)
  assert below == 0 and above == found[-1] > 1


def case(level, reconstruction, size=20):
  mask = np.zeros((size, size, 1))
  mask[4:16, 2:18] = 1
  lesion = np.zeros_like(mask)
  lesion[8:11, 8:11] = 1
  image = 0.4 * mask - 0.3 * lesion
  image[4] *= 2.5  # white is the brightest
  panels = {
    'image': image,
    'mask': mask,
    'lesion': lesion,
    'map': level * mask,
  }
  if reconstruction:
    panels['reconstruction'] = 0.3 * mask
  empty = scan('a', 'ms', 0)._replace(arrays={})
  return Case(empty, '', 0, np.nan, np.nan, panels)


def drawn(png):
  """Where anything is drawn, bool [rows, columns]."""
  return np.asarray(Image.open(io.BytesIO(png)).convert('L')) < WHITE


def blocks(line, least):
  """How many runs of at least so many true values there are."""
  edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
  return int((edges[1::2] - edges[::2] >= least).sum())


def test_every_method_and_scan_has_its_panels():
  methods = {
    ('vae', 'residual'): [case(1.0, True), case(2.0, True)],
    ('threshold', 'bright'): [case(1.0, False), case(2.0, False)],
  }
  png = side_by_side.draw(methods, ['ms, 2 ml', 'wmh, 3 ml'])
  found = drawn(png)
  # A brain's panel is the only thing that is taller than half of one.
  tall = 1.2 * side_by_side.PANEL * 120
  columns = [found[:, x] for x in range(found.shape[1])]
  high = [blocks(column, tall / 2) for column in columns]
  lefts = np.flatnonzero(np.diff(np.array(high) > 0))
  assert len(lefts) == 8  # both sides of four columns
  inner = [high[(a + b) // 2] for a, b in zip(lefts[::2], lefts[1::2], strict=True)]
  assert inner == [2, 3, 2, 3]  # a dash stands for the reconstruction of one
  with pytest.raises(ValueError):
    side_by_side.draw(methods, ['ms, 2 ml'])


def test_the_colours_of_a_map_are_those_of_the_bar():
  known = {tuple(colour) for colour in side_by_side.palette().tolist()}
  assert len(side_by_side.palette()) == 256
  png = side_by_side.draw({('vae', 'residual'): [case(3.0, True)]}, ['ms'])
  pixels = np.asarray(Image.open(io.BytesIO(png)).convert('RGB'))
  seen, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
  assert {tuple(colour) for colour in seen.tolist()} <= known
  by_count = {tuple(c): n for c, n in zip(seen.tolist(), counts, strict=True)}
  assert max(by_count, key=by_count.get) == (WHITE,) * 3
  # The whole map is as bright as the scale goes.
  brightest = tuple(side_by_side.palette()[60 + 187].tolist())
  assert by_count[brightest] > 0.5 * (side_by_side.PANEL * 120) ** 2


def test_a_method_is_shown_by_the_map_of_its_own_inference(key):
  records = cohort.split(2, cohort.TEST)
  evaluated = cohort.run(key)
  state = State(0, {'level': jnp.float32(0.6)}, {}, {})
  config = ConfigDict({'batch_size': 6, 'seed': 0, 'postprocess': 'none'})
  experiment = Experiment(config, {}, None, cohort.METHOD, {}, {}, {}, ())
  titles = showcase.median_volume_scans(collect(cohort.batches(records)))
  assert list(titles) == ['sub-21', 'sub-22']
  chosen = [record for record in records if record['subject'] in titles]
  sample = evaluated.samples['absolute']
  cases = showcase.run_cases(
    experiment, state, 'absolute', cohort.absolute, chosen, sample
  )
  assert list(cases) == list(titles)
  shown = cases['sub-22']
  # Slices 1 and 2 have most lesion.
  record = next(r for r in chosen if r['subject'] == 'sub-22' and r['slice'] == 12)
  scores = np.abs(record['image'] - 0.6 * record['mask'])
  inside = record['mask'] > 0
  np.testing.assert_allclose(
    shown.panels['map'][inside],
    side_by_side.rarity(scores, sample)[inside],
    rtol=1e-5,
  )
  np.testing.assert_allclose(shown.panels['reconstruction'][inside], 0.6, 1e-3)
