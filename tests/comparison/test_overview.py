"""One table of all methods on all data sets."""

import numpy as np
import pytest

from tests.one_map_record import record
from uad_jax.comparison import overview, packed_draws


def drawn(name, seed, auprc, draws=(), **more):
  """A record of one seed, with its AUPRC in each resample."""
  draws = packed_draws.packed(np.array(draws))
  return record((seed,), auprc, name, draws=draws, **more)


def test_a_cell_is_the_mean_of_the_seeds_beside_the_atlas():
  atlas = [drawn('atlas', seed, 0.2, [0.1, 0.3]) for seed in (0, 1)]
  above = [drawn('vae', seed, 0.4 + 0.2 * seed, [0.3, 0.7]) for seed in (0, 1)]
  below = [drawn('ae', 0, 0.1, [0.0, 0.2])]
  beside = [drawn('lsa', 0, 0.2, [0.0, 0.4]), drawn('lsa', 0, 0.9, variant='x')]
  suites = {'demo': atlas + above + below + beside, 'slices': [], 'ixi': atlas[:1]}
  lines = overview.section(suites).splitlines()
  assert [line for line in lines if line.startswith('| ')] == [
    '| method | demo | ixi |',
    '| atlas | 0.200 (2) | 0.200 (1) |',
    '| ae | 0.100 - (1) | – |',
    '| vae | 0.500 + (2) | – |',
    '| lsa | 0.200 (1) | – |',
  ]


def test_one_data_set_needs_no_overview():
  assert overview.section({'demo': [drawn('atlas', 0, 0.2)], 'ixi': []}) == ''


@pytest.mark.parametrize(
  'ends, mark', [((0.1, 0.3), ' +'), ((-0.3, -0.1), ' -'), ((-0.1, 0.1), '')]
)
def test_the_mark_says_on_which_side_of_zero_the_interval_lies(ends, mark):
  assert overview.sign({'value': sum(ends) / 2, 'interval': [*ends]}) == mark
  assert overview.sign(None) == ''
