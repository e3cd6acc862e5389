import pytest

from uad_jax.ops.choices import check_choice


def test_of_many_names_the_nearest_are_listed():
  names = [f'method{i:03}' for i in range(60)] + ['vae', 'cevae']
  with pytest.raises(ValueError) as error:
    check_choice('method', 'vea', names)
  sentence = str(error.value)
  assert sentence == "unknown method 'vea'; there are vae, cevae and 60 others"
  with pytest.raises(ValueError, match='method000, .* and 57 others'):
    check_choice('method', 'zzzz', names)
