"""Registered moments of healthy scans, with a gate that also learns from painting.

  python -m uad_jax.main --config=configs/guided_moments.py:ixi3d \
    --workdir=runs/guided_moments

Arguments: as of configs/moment_registration.py: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64`, `images`.

The method is `moment_registration` with a network that predicts the posterior p of a
lesion, as the gate network of `dae_unc` does: it opens the gate beside the residual T,
and the map `fused` is sqrt(p) T. `config.steps` ends with the steps of the network.

Measured (docs/results.md, docs/findings.md), `ixi3d`, seed 0, on the test heads: AUPRC
0.543 (multiscale, the map that the run chose), 0.507 (fused) and 0.418 (posterior);
without the network 0.554. A training takes some 38 minutes of one core.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('moment_registration.py'), arg)
  learnt = read_config(HERE.with_name('dae_unc.py'), arg)
  config.method.update(gate_widths=(16, 32, 64), painters=learnt.method.painters)
  config.batch_size = learnt.batch_size
  one_pass = base_config.one_pass(arg)
  config.steps = (*(one_pass,) * 4, learnt.steps[2])
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    fused=dict(scorer='output', of='fused'),
    posterior=dict(scorer='output', of='posterior'),
  )
  return config
