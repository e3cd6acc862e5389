"""Each source of uncertainty gives what the scores of its config ask for."""

import jax
import jax.numpy as jnp
import pytest

from tests.long_variants import all_but
from uad_jax import experiment, registry
from uad_jax.method import bind

SOURCES = (
  'posterior', 'laplace', 'dropout', 'concrete', 'ensemble', 'swag', 'heads'
)  # fmt: skip


@pytest.mark.parametrize('source', all_but(SOURCES, ('posterior',)))
def test_the_scores_of_a_source_have_their_outputs(source):
  path = registry.config_path('uncertainty')
  config = registry.read_config(path, f'{source}:demo')
  shape, key = (64, 64), jax.random.key(0)
  batch = {
    'image': jnp.ones((2, *shape, 1)),
    'mask': jnp.ones((2, *shape, 1)),
    'position': jnp.full(2, 0.5),
    'weight': jnp.ones(2),
  }
  method = experiment.make_method(config, shape, 1)
  scorers = experiment.make_scorers(config)

  def maps(batch):
    infer = bind(method, *method.init(key, batch))
    return {name: scorer(infer, batch, key) for name, scorer in scorers.items()}

  shapes = {name: value.shape for name, value in jax.eval_shape(maps, batch).items()}
  assert {source, f'{source}_deviation', 'total', 'residual'} <= set(shapes)
  assert set(shapes.values()) == {(2, *shape, 1)}
