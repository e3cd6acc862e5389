"""What a collapse and a divergence look like is noticed: the bounds of real methods."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest

from tests.long_variants import all_but
from tests.method_table import ROWS, make_batch, trained
from uad_jax import checkpoint, train
from uad_jax.registry import named
from uad_jax.update import init_state, make_update

AFTER = 201  # steps: the bounds that a start may break are looked at from here
CODEBOOKS = ('vqvae_transformer', 'latent_diffusion')
CRITICS = ('aae', 'caae', 'fanogan', 'anovaegan')


def check(method, step, metrics, folder):
  """What the loop does with the metrics after a step of the first stage."""
  means = {name: float(value) for name, value in metrics.items()}
  ends = (10**4,) * 3
  train.check_bounds(method, ends, step, means, set(), checkpoint.manager(folder))


@pytest.mark.parametrize('name', all_but(CODEBOOKS, ('vqvae_transformer',)))
def test_a_codebook_of_which_one_code_is_used_is_told(name, tmp_path, capsys):
  method, batch, _, state, _, _ = trained(name)
  loss = jax.jit(method.objectives['autoencoder'].loss)

  def perplexity(stats):
    found = loss(state.params, stats, batch, jax.random.key(0), jnp.array(0))
    return {'autoencoder/perplexity': found[1][1]['perplexity']}

  healthy = perplexity(state.stats)
  check(method, AFTER, healthy, tmp_path / 'healthy')
  assert not capsys.readouterr().err
  book = state.stats['codebook']
  far = jnp.asarray(book['codes']).at[1:].set(1e3)
  collapsed = perplexity({**state.stats, 'codebook': {**book, 'codes': far}})
  check(method, AFTER - 1, collapsed, tmp_path / 'early')
  assert not capsys.readouterr().err
  check(method, AFTER, collapsed, tmp_path / 'collapsed')
  told = "objective 'autoencoder' has perplexity 1, below 1.5, a sign of a codebook"
  assert told in capsys.readouterr().err


@pytest.mark.parametrize('name', all_but(CRITICS, ('aae',)))
def test_a_critic_that_diverges_ends_the_training(name, tmp_path):
  shape, options, _ = ROWS[name]
  method = named('methods', name)(shape, channels=1, **options)
  batch, key = make_batch(shape), jax.random.key(0)
  rates = {n: 1e-3 for n in method.objectives} | {'critic': 3.0}
  tx = {n: optax.sgd(rate) for n, rate in rates.items()}
  state = init_state(method, tx, key, batch)
  update = make_update(method, tx, (10**4,) * 2)(('critic',))
  with pytest.raises(train.Diverged) as error:
    for step in range(60):
      state, metrics = update(state, {'train': batch}, key)
      check(method, step, metrics, tmp_path)
  assert re.search(
    r"objective 'critic' has (gradient_norm|wasserstein) .* a sign of divergence; "
    'there is no checkpoint yet',
    str(error.value),
  ), error.value
