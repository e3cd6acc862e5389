"""What every config starts from: the data sets by short name, and the defaults."""

from ml_collections import ConfigDict

PAINTED = 'painted'
"""Name of the selection split made by painting lesions into the validation scans."""

IXI = 'data/ixi_lesions'
"""Where README's `prepare lesions` writes the IXI scans with lesions of real shape."""


def sim_brain(name: str) -> ConfigDict:
  """The simulated cohort; the map is chosen on its validation scans with lesions."""
  return ConfigDict(
    dict(
      name='sim_brain',
      config=name,
      dir='data',
      train='train',
      val='val',
      test='test',
      selection='val_lesion',
    )
  )


def ixi(shape: tuple[int, ...], spacing: float) -> ConfigDict:
  """IXI T1 with lesions of real shape, as `uad_jax.prepare lesions` writes it."""
  return ConfigDict(
    dict(
      name='nifti_folder',
      dir='data',
      source=IXI,
      layout='lesion_cohort',
      job=dict(shape=shape, spacing=spacing, align=True, intensity='percentile'),
      domain='ixi',
      train='train',
      val='val',
      test='test',
      selection='val_lesion',
    )
  )


def folder() -> ConfigDict:
  """One's own scans: `--config.data.source=DIR`."""
  return ConfigDict(
    dict(
      name='nifti_folder',
      dir='data',
      source='',
      layout='bids',
      patterns=dict(image='sub-*/**/anat/*_T1w.nii*', mask='', labels='', lesion=''),
      job=dict(shape=(64, 64), spacing=3.0, align=True, intensity='percentile'),
      keep_going=False,
      train='train',
      val='val',
      test='test',
      selection=PAINTED,
    )
  )


def cohort() -> ConfigDict:
  """A cohort of the field: `--config.data.name=ixi --config.data.source=DIR`.

  `others.target` is a second one, opened where a split names it:
  `--config.data.others.target.name=brats --config.data.test=target/test`.
  """
  one = dict(
    name='ixi',
    source='',
    contrast='t1',
    form='slices',
    preset='default',
    shape=(),
    spacing=0.0,
    bias='',
    keep_going=False,
  )
  return ConfigDict(
    dict(
      **one,
      dir='data',
      train='train',
      val='val',
      test='test',
      selection=PAINTED,
      others=dict(target=dict(one, name='brats')),
    )
  )


FINE = ('slices', 'ixi128', 'cohort')
"""The data sets of 128 x 128, for which networks get one halving more: the bottleneck
then covers as many millimetres."""

DATA = {
  'demo': lambda: sim_brain('demo'),
  'slices': lambda: sim_brain('slices'),
  'volumes': lambda: sim_brain('volumes'),
  'ixi': lambda: ixi((64, 64), 3.0),
  'ixi128': lambda: ixi((128, 128), 2.0),
  'folder': folder,
  'cohort': cohort,
}
"""The data sets that a config's argument can name."""


def get_config(arg: str = 'demo') -> ConfigDict:
  """The defaults on one of the data sets named in `DATA`."""
  arg = arg or 'demo'
  if arg not in DATA:
    raise ValueError(f"unknown argument '{arg}'; there are {', '.join(DATA)}")
  return ConfigDict(
    dict(
      seed=0,
      data=DATA[arg](),
      batch_size=32,
      steps=(),  # by stage
      method=ConfigDict(),
      adapt=ConfigDict(),  # by name of the file in uad_jax/adapt, in order
      optimiser=dict(
        name='adamw',
        learning_rate=2e-3,
        schedule='cosine',
        warm_up=0.1,
        weight_decay=1e-4,
        clip=1.0,
      ),
      optimisers=ConfigDict(),  # by objective, over `optimiser`
      scores=ConfigDict(),  # by row of the table
      variants=ConfigDict(),  # by name, other inferences of the same training
      variant_scores=(),  # the rows of `scores` that they fill; all when empty
      postprocess='median',
      resamples=2000,
      log_every=50,
      save_every=500,
    )
  )


def with_critic(config: ConfigDict, steps: tuple[int, ...]) -> ConfigDict:
  """The config of a method with a critic: how it is trained and scored.

  `steps` are the critic's. They, the batches and the rate suit the simulated cohort.
  """
  config.batch_size = 16
  config.steps = steps
  config.optimiser.update(
    name='adam_critic', learning_rate=5e-4, schedule='constant', clip=0.0
  )
  config.scores.update(
    residual=dict(scorer='residual'),
    residual_bright=dict(scorer='residual', sign='bright'),
    ssim=dict(scorer='ssim'),
  )
  return config
