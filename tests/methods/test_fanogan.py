import jax
import numpy as np

from tests.method_table import ROWS, make_batch, trained
from uad_jax.methods import fanogan
from uad_jax.nets.critic import ImageCritic


def test_the_encoders_stage_leaves_generator_and_critic_bitwise():
  _, _, first, state, history, _ = trained('fanogan')
  names, before, *_ = history[10]
  assert names == ('encoder',)
  for net in ('generator', 'critic'):
    jax.tree.map(np.testing.assert_array_equal, before.params[net], state.params[net])
  # And the stage before it left the encoder.
  jax.tree.map(
    np.testing.assert_array_equal, first.params['encoder'], before.params['encoder']
  )


def test_the_encoders_loss_is_the_formula():
  shape, options, _ = ROWS['fanogan']
  _, batch, _, state, _, infer = trained('fanogan')
  key = jax.random.key(0)
  method = fanogan.make(shape, **options, kappa=0.3)
  loss = jax.jit(method.objectives['encoder'].loss)
  value, (_, terms) = loss(state.params, state.stats, batch, key, 0)
  # Oracle: numpy on what inference and the critic give.
  outputs = infer(state.params, state.stats, batch, key)
  critic = jax.jit(ImageCritic(options['critic']).apply)
  variables = {'params': state.params['critic']}
  real, fake = (
    np.asarray(critic(variables, x)[1], np.float64)
    for x in (batch['image'] * batch['mask'], outputs['reconstruction'])
  )
  gap = ((real - fake) ** 2).mean((1, 2, 3))
  error = (batch['image'] - outputs['reconstruction']) * batch['mask']
  mse = (np.asarray(error, np.float64) ** 2).sum() / batch['mask'].sum()
  np.testing.assert_allclose(terms['features'], gap.mean(), rtol=1e-3)
  np.testing.assert_allclose(terms['mse'], mse, rtol=1e-3)
  np.testing.assert_allclose(value, mse + 0.3 * gap.mean(), rtol=1e-3)


def test_codes_and_images_are_bounded():
  _, batch, _, state, _, infer = trained('fanogan')
  outputs = infer(
    state.params,
    state.stats,
    {**batch, 'image': 50 * batch['image']},
    jax.random.key(0),
  )
  assert abs(outputs['latent']).max() <= 1
  assert outputs['reconstruction'].min() >= 0 and outputs['reconstruction'].max() <= 1


def test_the_published_options():
  batch = make_batch((128, 128), 1)
  method = fanogan.make((128, 128))
  params, _ = jax.eval_shape(method.init, jax.random.key(0), batch)
  count = {n: sum(x.size for x in jax.tree.leaves(p)) for n, p in params.items()}
  # The study's dense auto-encoder (card 1.1), and a scale and a bias for each voxel of
  # the generator's five grids.
  norms = 2 * sum(n**2 for n in (8, 16, 32, 64, 128))
  assert count['encoder'] + count['generator'] == 1_625_777 + norms
  every = {n: (o.stage, o.every) for n, o in method.objectives.items()}
  assert every == {'critic': (0, 1), 'generator': (0, 5), 'encoder': (1, 1)}
