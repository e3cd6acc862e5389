"""Sizes of pictures are checked before any file is read."""

import pytest

from uad_jax import base_config, registry
from uad_jax.datasets import option_checks


@pytest.mark.parametrize(
  'job',
  [{'spacing': 2000.0}, {'spacing': -1.0}, {'pixel_mm': -1.0}, {'pixel_mm': (1, 'a')}],
)
def test_a_wrong_size_of_pictures_is_named(tmp_path, job):
  data = registry.plain(base_config.get_config('images'))['data']
  data |= {'dir': str(tmp_path / 'data'), 'source': str(tmp_path)}
  option_checks.check_data_set(data, 'data')
  data['job'] = {**data['job'], 'pixel_mm': (1.0, 2.0), 'spacing': 50.0}
  option_checks.check_data_set(data, 'data')
  (name,) = job
  with pytest.raises(
    ValueError, match=rf'data\.job\.{name} is .*; allowed is a number'
  ):
    option_checks.check_data_set(data | {'job': {**data['job'], **job}}, 'data')
