import numpy as np

from uad_jax.comparison.field.heads import Heads


def test_twins_are_known_if_none_of_a_lesion_is_all_zeros():
  image = np.ones((3, 4, 4, 1), np.float32)
  lesion = np.zeros_like(image)
  lesion[1, 2, 2] = 1
  names = np.array(['a', 'b', 'b'])  # the last is another slice of a scan with a lesion
  arrays = {'image': image, 'mask': image, 'lesion': lesion, 'twin': image.copy()}
  heads = Heads(arrays, names, names)
  assert heads.has_twins
  arrays['twin'][2] = 0
  assert heads.has_twins
  arrays['twin'][1] = 0
  assert not heads.has_twins
  assert sorted(heads.without_twins().arrays) == ['image', 'lesion', 'mask']
  assert not heads.without_twins().has_twins
