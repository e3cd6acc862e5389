"""A latent larger than the image, or too many halvings, raise a clear error."""

import jax
import pytest

from tests.method_table import ROWS, make_batch
from uad_jax.registry import named

SHAPE = (16, 16)
DENSE = {
  # method: what makes its latent a vector, the values of it for a unit of `latent`
  # and those besides
  'aae': ({}, 1, 0),
  'cae': ({}, 1, 0),
  'caae': ({}, 1, 0),
  'fanogan': ({}, 1, 0),
  'anovaegan': ({}, 1, 0),
  'cevae': ({}, 1, 0),
  'vae': ({'architecture': 'study'}, 1, 0),
  'gmvae': ({'latent_w': 1}, 1, 1),
  'skip_ae': ({'bottleneck': 'dense'}, 1, 0),
  'ae': ({'bottleneck': 'dense'}, 8, 0),
}


def init(name, channels=1, **options):
  method = named('methods', name)(SHAPE, channels, **{**ROWS[name][1], **options})
  batch = make_batch(SHAPE, 1)
  batch['image'] = batch['image'].repeat(channels, -1)
  return jax.eval_shape(method.init, jax.random.key(0), batch)


@pytest.mark.parametrize('name', DENSE)
def test_a_vector_of_more_values_than_the_image_is_refused(name):
  options, values, besides = DENSE[name]
  most = (256 - besides) // values
  init(name, latent=most, **options)
  told = (
    rf'a latent of {256 + values} values is too large for images of \(16, 16\) '
    'with 1 channels; allowed are up to 256'
  )
  with pytest.raises(ValueError, match=told):
    init(name, latent=most + 1, **options)
  init(name, channels=2, latent=most + 1, **options)


@pytest.mark.parametrize(
  'name, options, besides',
  [
    ('ae', {'bottleneck': 'spatial'}, 0),
    ('vae', {}, 0),
    ('vae', {'architecture': 'you2019'}, 0),
    ('gmvae', {'bottleneck': 'spatial', 'latent_w': 1}, 1),
  ],
)
def test_a_map_of_more_values_than_the_image_is_refused(name, options, besides):
  # Two halvings of 16 x 16 leave 16 places.
  init(name, latent=16 - besides, **options)
  with pytest.raises(ValueError, match='a latent of 272 values is too large'):
    init(name, latent=17 - besides, **options)


@pytest.mark.parametrize(
  'name, options', [('ae', {'architecture': 'study'}), ('skip_ae', {})]
)
def test_the_last_features_may_be_too_many(name, options):
  with pytest.raises(ValueError, match='a latent of 272 values is too large'):
    init(name, bottleneck='spatial', widths=(8, 17), **options)


@pytest.mark.parametrize('name', [*DENSE, 'vae default', 'ae default'])
def test_too_many_widths_for_the_grid_are_refused(name):
  name, _, default = name.partition(' ')
  options = {} if default else DENSE[name][0]
  with pytest.raises(ValueError, match=r'\(16, 16\) cannot be halved 5 times; allowed'):
    init(name, widths=(8,) * 5, **options)
