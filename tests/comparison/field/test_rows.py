"""Rows of the study on warped scans of one anatomy, where the truth is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.registered_scans import fitted, lesion_of, scans
from uad_jax.comparison.field import controls, known_fields, lesions, measures, rows
from uad_jax.comparison.field.heads import Heads, Model, inferred
from uad_jax.evaluation.postprocess import preset
from uad_jax.inference import make_infer
from uad_jax.registration import flow
from uad_jax.scores import multiscale

pytestmark = pytest.mark.slow
CHAIN = preset('none')


def heads_of(batch, count, lesion=None, twin=None):
  arrays = {name: np.asarray(value) for name, value in batch.items()}
  arrays |= {
    'subject': np.array([f's{i}' for i in range(count)]),
    'session': np.array([''] * count),
    'slice': np.arange(count),
    'pathology': np.array(['none' if lesion is None else 'bright'] * count),
  }
  if lesion is not None:
    arrays |= {'lesion': np.asarray(lesion), 'twin': np.asarray(twin)}
  return Heads(arrays, arrays['subject'], arrays['subject'])


@pytest.fixture(scope='module')
def world():
  method, stats, _ = fitted()
  scorers = {
    'multiscale': multiscale.make(),
    'multiscale_usual': multiscale.make('usual'),
  }
  uncertain, _, _ = fitted(draws=2)
  infer, with_draws = (make_infer(m, scorers) for m in (method, uncertain))
  model = Model(infer, {}, stats, jax.random.key(0), 4, with_draws)
  healthy = scans(6, first=50)
  block, batch = lesion_of(healthy)
  sick = heads_of(batch, 6, block, healthy['image'])
  known, found = heads_of(scans(5, first=80), 5), {}
  pairs = zip(
    rows.rows_of(model, known, 2.0, (2.0,)),
    rows.rows_of(model, sick, 2.0, (2.0,)),
    strict=False,  # healthy scans have no twins, and so no last row
  )
  for of_healthy, row in pairs:
    limits = measures.limits(of_healthy, known, CHAIN)
    found[row.name] = row, measures.measured(row, sick, limits, CHAIN)
  return model, sick, known, found


def value(found, row, metric):
  return found[row][1].numbers[metric]['value']


def test_the_rows_have_the_order_that_the_construction_gives_them(world):
  _, _, _, found = world
  auprc = {row: value(found, row, 'auprc') for row in found}
  best_gate = auprc['true mask']
  assert best_gate >= auprc['gated, 2'] > auprc['uniform, 2']
  assert value(found, 'gated, 2', 'hrr') > 0.3
  plain, wide = (found[row][0].arrays for row in ('gated, 2', rows.UNCERTAIN))
  assert (wide[rows.SCORE] <= plain[rows.SCORE] + 0.05).mean() > 0.9
  assert auprc[rows.UNCERTAIN] > auprc['uniform, 2']
  for control in ('permuted gate', 'random blobs', 'inverted gate'):
    assert best_gate > auprc[control]
  assert value(found, 'true mask', 'cfe') < 0.2 * value(found, 'uniform, 2', 'cfe')
  assert value(found, 'gated, 2', 'bright') == pytest.approx(auprc['gated, 2'])


def test_the_differences_are_those_of_the_rows(world):
  _, _, _, found = world
  measured = {name: pair[1] for name, pair in found.items()}
  table = measures.differences(measured, 'gated, 2')
  assert set(table) == set(measured) - {'gated, 2'}
  for row, entry in table.items():
    gap = value(found, 'gated, 2', 'auprc') - value(found, row, 'auprc')
    assert entry['value'] == pytest.approx(gap)
    assert entry['interval'][0] <= gap <= entry['interval'][1]
    assert entry['holm'] >= entry['p']


def test_the_field_of_the_twin_does_not_see_the_lesion(world):
  model, sick, _, _ = world
  twin = inferred(model, sick, image=sick.arrays['twin'])
  again = inferred(model, sick, {'field': twin['displacement']})
  np.testing.assert_array_equal(again['displacement'], twin['displacement'])
  assert again['gate'].max() == 0


def test_controls_hide_as_much_as_the_gate(world):
  _, sick, _, found = world
  gate = found['gated, 2'][0].arrays['gate']
  for made in (
    controls.random_blobs(gate, sick),
    controls.by_raw_residual(gate, sick, np.zeros_like(sick.arrays['image'])),
  ):
    assert made.shape == gate.shape
    assert not np.array_equal(made, gate)
    np.testing.assert_allclose(
      np.sort(made.reshape(6, -1)), np.sort(gate.reshape(6, -1)), rtol=1e-6
    )
  moved = controls.permuted(gate, sick)
  np.testing.assert_array_equal(moved[0], gate[1])
  np.testing.assert_array_equal(moved[-1], gate[0])
  with pytest.raises(ValueError, match='one subject has no other'):
    controls.permuted(gate[:1], sick.only(np.arange(1)))


def test_lesions_are_counted_by_kind(world):
  _, sick, _, found = world
  row = found['true mask'][0]
  listed = lesions.lesions_of(row, sick, -1.0, CHAIN)
  # All voxels are above the threshold; the blocks differ by 0.8 from their twins.
  assert {lesion.recall for lesion in listed} == {1.0}
  assert {lesion.contrast for lesion in listed} == {'strong'}
  assert {lesion.place for lesion in listed} == {'deep'}
  table = lesions.by_kind(listed)
  assert table['deep'] == {'lesions': 6, 'recall': 1.0}
  above = lesions.by_kind(lesions.lesions_of(row, sick, 1e9, CHAIN))
  assert above['strong']['recall'] == 0


def test_known_fields_are_found_and_the_gate_stays_closed(world):
  model, _, known, _ = world
  entries = list(known_fields.measure(model, known))
  assert [entry['row'] for entry in entries] == ['uniform', 'gated'] * 3
  for entry in entries[:2]:
    # Oracle: without any registration the error would be the known field's size.
    field = known_fields.random_fields(known, entry['size'])
    still = np.linalg.norm(field, axis=-1).mean()
    assert entry['endpoint']['value'] < still
    assert entry['gate']['value'] < 0.2


def test_inflation_grows_the_ventricles_and_folds_nowhere():
  labels = np.zeros((1, 24, 24, 1), np.uint8)
  labels[0, 9:15, 10:14] = known_fields.VENTRICLE
  mask = np.ones((1, 24, 24, 1), np.float32)
  arrays = {'labels': labels, 'mask': mask, 'image': labels.astype(np.float32)}
  heads = Heads(arrays, np.array(['a']), np.array(['a']))
  field = known_fields.inflations(heads, 2.0)
  grown = known_fields.deformed(heads, field).arrays['labels']
  assert 1.5 < (grown > 0).sum() / (labels > 0).sum() < 4
  assert not (grown[labels > 0] == 0).any()
  assert float(flow.jacobian_determinant(jnp.asarray(field)).min()) > 0


def test_strain_in_the_lesion_falls_with_the_height_of_the_gate(world):
  model, sick, _, _ = world
  strains = [e['strain']['value'] for e in known_fields.dose_response(model, sick)]
  assert strains[-1] < 0.5 * strains[0]
  assert all(b < 1.01 * a for a, b in zip(strains, strains[1:], strict=False))


def test_age_needs_ages_and_labels(world):
  model, _, known, _ = world
  assert known_fields.by_age(model, known) == {}
