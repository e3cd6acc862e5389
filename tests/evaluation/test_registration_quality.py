"""Scenes of boxes, for which every number is known by counting."""

import numpy as np
import pytest

from uad_jax.evaluation import registration_quality as rm
from uad_jax.evaluation.metrics import dice

VENTRICLE, WHITE = 4, 3


def scene(planar=True):
  """A brain of 20 x 20 x 4 with a ventricle of 4 x 6 and a lesion of 3 x 3 x 1."""
  shape = (24, 24, 4)
  brain = np.zeros(shape)
  brain[2:22, 2:22] = 1
  labels = np.where(brain > 0, WHITE, 0)
  labels[10:14, 8:14] = VENTRICLE
  lesion = np.zeros(shape)
  lesion[4:7, 4:7, 1] = 1
  image = np.where(labels == VENTRICLE, 0.2, 0.8) * brain
  twin = image.copy()
  image = np.where(lesion > 0, 1.2, image)
  arrays = {'mask': brain, 'lesion': lesion, 'labels': labels, 'image': image}
  arrays['twin'] = twin
  return {name: np.asarray(x, float)[..., None] for name, x in arrays.items()}


def with_field(volume, displacement, prior, reconstruction, twin_displacement):
  return volume | {
    'displacement': displacement,
    'twin_displacement': twin_displacement,
    'prior': prior[..., None],
    'reconstruction': reconstruction[..., None],
    'strain': np.where(volume['lesion'][..., 0] > 0, 0.1, 0.4),
    'folded': np.zeros(displacement.shape[:3], bool),
  }


def measured(**changes):
  volume = scene()
  twin = volume['twin'][..., 0]
  prior = twin.copy()
  prior[10:12, 8:14] = 0.8  # half of the ventricle is missing before the deformation
  field = np.zeros((24, 24, 4, 2))
  twin_field = field.copy()
  twin_field[..., 0], twin_field[..., 1] = 3, 4
  volume = with_field(volume, field, prior, twin, twin_field) | changes
  return rm.measure(volume, True, VENTRICLE, WHITE)


def test_ventricle_dice_before_and_after():
  found = measured()
  assert found['ventricle_dice'] == 1
  assert found['ventricle_dice_ceiling'] == 1
  assert found['ventricle_dice_before'] == pytest.approx(2 * 12 / (12 + 24))


def test_ventricle_dice_counts_the_ventricle_that_is_too_large_too():
  large = scene()['twin'][..., 0].copy()
  large[8:16, 8:14] = 0.2  # twice as wide, within reach
  found = measured(reconstruction=large[..., None])
  assert found['ventricle_dice'] == pytest.approx(2 * 24 / (24 + 48))


def test_ventricle_dice_holds_for_bright_fluid():
  volume = scene()
  inverted = {name: 1 - volume[name][..., 0] for name in ('image', 'twin')}
  found = rm.ventricle_dice(
    inverted['twin'],
    {'x': inverted['twin']},
    volume['labels'][..., 0] == VENTRICLE,
    volume['labels'][..., 0] == WHITE,
    True,
  )
  assert found == {'x': 1}


def test_strain_ratio_and_counterfactual_error():
  found = measured()
  assert found['strain_lesion'] == pytest.approx(0.1)
  assert found['strain_healthy'] == pytest.approx(0.4)
  assert found['dlr'] == pytest.approx(0.25)
  assert found['cfe'] == pytest.approx(5)  # |(3, 4)|
  assert found['folding_fraction'] == 0


def test_folding_is_counted_in_the_brain_only():
  folded = np.ones((24, 24, 4), bool)
  folded[2:12] = False  # half of the brain's rows
  assert measured(folded=folded)['folding_fraction'] == pytest.approx(0.5)


def test_counterfactual_error_looks_at_the_lesion_and_its_surroundings():
  field = np.zeros((24, 24, 4, 2))
  far = field.copy()
  far[15:, :, :, 0] = 9
  near = field.copy()
  near[4:7, 4:7, 1, 0] = 9  # the lesion itself, 9 of the 9 + ring voxels
  assert measured(displacement=field, twin_displacement=far)['cfe'] == 0
  ring = rm.dilate(scene()['lesion'][..., 0] > 0, planar=True)
  inside = (ring & (scene()['mask'][..., 0] > 0)).sum()
  assert measured(displacement=field, twin_displacement=near)['cfe'] == pytest.approx(
    9 * 9 / inside
  )


def test_residual_ratios():
  image = np.array([1.0, 1.0, 0.5, 0.5])
  lesion = np.array([True, True, False, False])
  found = rm.residual_ratios(
    image,
    prior=np.array([0.0, 0.0, 0.1, 0.1]),
    warped=np.array([0.25, 0.25, 0.4, 0.4]),
    lesion=lesion,
    healthy=~lesion,
  )
  assert found['rkr'] == pytest.approx(0.75)
  assert found['hrr'] == pytest.approx(1 - 0.1 / 0.4)


def test_slices_do_not_spread_into_their_neighbours_but_volumes_do():
  point = np.zeros((9, 9, 9), bool)
  point[4, 4, 4] = True
  planar, solid = rm.dilate(point, True, 2), rm.dilate(point, False, 2)
  assert planar.any((0, 1)).sum() == 1
  assert solid.any((0, 1)).sum() == 5
  np.testing.assert_array_equal(planar[:, :, 4], solid[:, :, 4])


def test_gate_statistics():
  volume = scene()
  gate = np.zeros((24, 24, 4, 1))
  gate[4:7, 4, 1] = 0.9  # a third of the lesion
  gate[21, 2:22] = 0.9  # a row of the healthy brain: 20 x 4 voxels
  found = rm.measure(volume | {'gate': gate}, True, VENTRICLE, WHITE)
  around = rm.dilate(volume['lesion'][..., 0] > 0, True)
  healthy = (volume['mask'][..., 0] > 0) & ~around
  assert found['gate_lesion_recall'] == pytest.approx(1 / 3)
  assert found['gate_healthy_open'] == pytest.approx(80 / healthy.sum())
  assert set(found) == {'gate_lesion_recall', 'gate_healthy_open'}


def test_what_is_not_there_is_left_out_or_undefined():
  volume = scene()
  assert rm.measure(volume, True, VENTRICLE, WHITE) == {}
  healthy = measured(lesion=np.zeros((24, 24, 4, 1)))
  for name in ('dlr', 'rkr', 'cfe', 'strain_lesion'):
    assert np.isnan(healthy[name]), name
  assert np.isfinite(healthy['hrr'])


def test_dice_of_two_empty_masks_is_undefined():
  assert np.isnan(dice(np.zeros(3), np.zeros(3)))
  assert dice(np.array([1, 1, 0]), np.array([0, 1, 1])) == 0.5
