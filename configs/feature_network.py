r"""Network of features, trained by masked auto-encoding on healthy scans.

  python -m uad_jax.main --config=configs/feature_network.py:ixi --workdir=runs/features

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64`, `images`.

configs/patchcore.py and configs/padim.py judge its features; its own map is the
residual of the image that is decoded from them. Weights of the user in its place:

  python -m uad_jax.features.stored_weights --checkpoint=resnet50.pth \
    --output=resnet50.npz
  --config.method.network=resnet50 --config.method.weights=resnet50.npz

with one stage less in `config.steps`, as nothing is trained, and without the residual.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, volumes = base_config.get_config(arg), arg in base_config.VOLUMES
  config.method.update(
    name='feature_network',
    network='masked',
    weights='',
    widths=(16, 32, 64) if volumes else (32, 64, 128),
    share=0.5,
    cell=8,
  )
  config.batch_size = 2 if volumes else 16
  config.steps = (600,)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.residual = dict(scorer='residual')
  return config
