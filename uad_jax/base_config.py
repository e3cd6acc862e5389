"""What every config starts from: the data sets by short name, and the defaults."""

import importlib.util
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from uad_jax.data.mixing import PAINTED

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


SPREAD = 0.25
"""About the deviation of intensities in [0, 1] within the brain."""

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


def read_config(path: pathlib.Path, arg: str) -> ConfigDict:
  """What `get_config` of a config file gives for an argument.

  Raises:
    FileNotFoundError: There is no such file.
  """
  spec = importlib.util.spec_from_file_location(f'config_{path.stem}', path)
  if spec is None or not path.exists():
    raise FileNotFoundError(f'{path} does not exist; run this in the project folder')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(arg)


def norm_share(arg: str) -> float:
  """Norm of an error over a slice in [0, 1], as a share of 256 x 256 z-scores'."""
  return SPREAD * (128 if arg in FINE else 64) / 256


def with_critic(
  config: ConfigDict,
  fit: str,
  critic_steps: int,
  steps: tuple[int, ...],
  generator: float = 1e-4,
) -> ConfigDict:
  """The config of a method with a critic: how it is trained and scored.

  What reconstructs keeps the default optimiser: with the slow one of the game it hardly
  learns in minutes. All rates fall together: where it came to rest and those of the
  game did not, they undid what it had learnt (docs/tuning.md).

  Args:
    config: Of the method, changed in place.
    fit: The objective that reconstructs.
    critic_steps: Steps of the critic, one each step, for each of the others.
    steps: By stage; where there is a critic they are its steps.
    generator: Its learning rate: small where it moves what reconstructs, too.
  """
  config.method.critic_steps = critic_steps
  config.batch_size = 16
  config.steps = steps
  game = dict(name='adam_critic', learning_rate=5e-4, clip=0.0)
  config.optimisers[fit] = {name: config.optimiser[name] for name in game}
  config.optimisers.generator = dict(learning_rate=generator)
  config.optimiser.update(game)
  config.scores.update(
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config


def method_and_data(
  preset: str, arg: str, methods: Sequence[str], data: Sequence[str]
) -> tuple[str, str]:
  """What a preset's argument METHOD:DATA, METHOD or DATA names.

  The first of `methods` and of `data` are the defaults.
  """
  name, _, where = arg.partition(':')
  if name in data and not where:
    name, where = '', name
  name, where = name or methods[0], where or data[0]
  for what, given, allowed in (('method', name, methods), ('data', where, data)):
    if given not in allowed:
      raise ValueError(
        f"{preset}: unknown {what} '{given}'; there are {', '.join(allowed)}"
      )
  return name, where


def shrink(config: ConfigDict, file: str, small: str, *sizes: str) -> ConfigDict:
  """The config of a preset with the demo's sizes of another config of its folder.

  Taken are the `sizes` of the method, the batch, the steps, the learning rate (then
  that of all objectives), and the options of the adaptations that both have.

  Args:
    config: Of the preset, changed in place.
    file: The preset's own, `__file__`.
    small: Name of the other one, a smaller setting of the same method.
    sizes: Names of options of the method.
  """
  other = read_config(pathlib.Path(file).with_name(f'{small}.py'), 'demo')
  config.method.update({name: other.method[name] for name in sizes})
  config.batch_size, config.steps = other.batch_size, other.steps
  config.optimiser.learning_rate = other.optimiser.learning_rate
  for own in config.optimisers.values():
    if 'learning_rate' in own:
      del own.learning_rate
  config.adapt.update({k: other.adapt[k] for k in config.adapt if k in other.adapt})
  return config
