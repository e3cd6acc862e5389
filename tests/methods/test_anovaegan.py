import jax
import numpy as np
import scipy.stats

from tests.method_table import make_batch, trained
from uad_jax.methods import anovaegan


def test_the_evidence_is_that_of_its_code_and_reconstruction():
  method, batch, _, state, _, infer = trained('anovaegan')
  outputs = infer(state.params, state.stats, batch, jax.random.key(0))
  # Oracle: numpy; the divergence is not negative and 0 only at the prior.
  error = abs(batch['image'] * batch['mask'] - outputs['reconstruction'])
  rec = np.asarray(error, np.float64).sum((1, 2, 3))
  np.testing.assert_allclose(outputs['rec'], rec, rtol=1e-4)
  np.testing.assert_allclose(outputs['elbo'], -rec - outputs['kl'], rtol=1e-4)
  assert (outputs['kl'] >= 0).all()


def test_the_second_head_is_the_log_deviation(key):
  method, batch = (
    anovaegan.make((8, 8), widths=(8,), latent=1, critic=(4,)),
    make_batch((8, 8), 2),
  )
  params, stats = jax.jit(method.init)(key, batch)
  heads = params['encoder']['ToVector_0']
  for name, value in (('Dense_0', 0.7), ('Dense_1', -0.4)):
    heads[name]['kernel'] = 0 * heads[name]['kernel']
    heads[name]['bias'] = 0 * heads[name]['bias'] + value
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  # Oracle: KL(N(m, s) || N(0, 1)) = E log q - E log p by quadrature.
  q = scipy.stats.norm(0.7, np.exp(-0.4))
  expected = -q.entropy() - q.expect(scipy.stats.norm.logpdf)
  np.testing.assert_allclose(outputs['kl'], expected, rtol=1e-4)


def test_who_descends_what():
  method = anovaegan.make((16, 16), widths=(8, 8), critic=(4,))
  trains = {name: objective.trains for name, objective in method.objectives.items()}
  assert trains == {
    'vae': ('encoder', 'decoder'),
    'critic': ('critic',),
    'generator': ('decoder',),
  }
