"""A stored record of a run, for tests of the tables."""

from uad_jax.comparison import records


def record(seeds, auprc=0.5, name='vae', **more):
  """A record with one map."""
  found = {'value': auprc, 'interval': [auprc - 0.25, auprc + 0.25]}
  fields = {
    'name': name, 'variant': '', 'seeds': seeds, 'config': 'c', 'default': 'residual',
    'data': {'digest': 'd', 'scans': 3, 'subjects': 3, 'diseased': 1, 'honest': 0.1},
    'parameters': 7, 'training': '2 subjects, 9 slices', 'steps': 5, 'minutes': 2.0,
    'maps': {'residual': {'auprc': found}}, 'draws': '', 'over': None, 'rivals': [],
  }  # fmt: skip
  return records.Record(**(fields | more))
