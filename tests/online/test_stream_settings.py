import pytest

from uad_jax.online.guards import Guards
from uad_jax.online.stream_settings import Settings, check


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'cells': 1}, 'cells is 1; allowed are True and False'),
    ({'alpha': 0.0}, 'alpha is 0.0; allowed is a number above 0 and below 1'),
    ({'alpha': 0.3}, r'alpha is 0.3; allowed is a number below 0.2, 1 - tail_level'),
    ({'share': 1.0}, 'share is 1.0; allowed'),
    ({'capacity': 0}, 'capacity is 0; allowed is a whole number of 1 or more'),
    ({'radius': 0.0}, 'radius is 0.0; allowed is a number above 0'),
    ({'anchor': 2.0}, 'anchor is 2.0; allowed is a number from 0 to 1'),
    ({'seed': -1}, 'seed is -1; allowed is a whole number of 0 or more'),
    ({'eviction': 'fifo'}, "unknown eviction 'fifo'; there are coreset, reservoir"),
    ({'discovery': 'bh'}, "unknown discovery 'bh'; there are lond, e-lond"),
    ({'depth': 5}, "depth is 5; allowed is 0 while the guard 'frozen' is on"),
    ({'recency': 0.1}, "recency is 0.1; allowed is 0 while the guard 'frozen' is on"),
    ({'recency': 1.0}, 'recency is 1.0; allowed is a number below 1'),
    ({'guards': Guards(subjects=0)}, 'subjects is 0; allowed is a whole number'),
    ({'guards': Guards(p_above=2)}, 'p_above is 2; allowed is a number from 0 to 1'),
    ({'guards': Guards(drop_percent=-1)}, 'drop_percent is -1; allowed is a number'),
  ],
)
def test_a_setting_out_of_range_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    check(Settings(**changes))


def test_the_defaults_and_an_unfrozen_drifting_stream_are_allowed():
  check(Settings())
  check(Settings(depth=5, recency=0.1, guards=Guards(frozen=False)))
