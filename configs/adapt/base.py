"""Default config of an adaptation to healthy scans of another scanner.

  python -m uad_jax.adapt --run=runs/dae_unc --config=configs/adapt/NAME.py \
    --source=DIR_OF_HEALTHY_TARGET_SCANS --workdir=runs/adapted
"""

from ml_collections import ConfigDict


def get_config(_: str = '') -> ConfigDict:
  """Returns the config that changes nothing but the thresholds (`recalibration`)."""
  return ConfigDict(
    dict(
      few_shot=ConfigDict(),  # options by name of the file in uad_jax/adapt, in order
      steps=(),  # number of steps of each stage, or 'one pass' over the target scans
      batch_size=16,
      at_once=False,  # adapt to all target scans in one batch, where memory allows it
      optimiser=dict(
        name='adam',
        learning_rate=2e-4,
        schedule='constant',
        warm_up=0.1,
        weight_decay=0.0,
        clip=1.0,
      ),
      histogram=False,  # match each scan's histogram to the source run's healthy scans
      sees_source=False,  # train on source scans as well
      thresholds='source',  # 'source' keeps them, 'target' sets them on target scans
    )
  )
