"""Functions that build the default config of a run, with the options of a data set."""

import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from uad_jax.base_config.data import DATA as DATA
from uad_jax.base_config.data import FINE as FINE
from uad_jax.base_config.data import PLACES as PLACES
from uad_jax.base_config.data import SINGLE as SINGLE
from uad_jax.base_config.data import VOLUMES as VOLUMES
from uad_jax.ops.choices import check_choice, choose
from uad_jax.registry import read_config

SPREAD = 0.25
"""Approximate standard deviation, within the brain, of intensities scaled to [0, 1]."""

RANDOMISE = dict(curve=0.3, bias=0.1, fwhm=1.5, thickness=1, noise=0.02)
"""Options of the adaptation `randomise`, where a config uses it (docs/findings.md)."""


PASS = {'demo': 60, 'volumes': 40, 'ixi3d': 20, 'stroke_flair': 12}
"""Batches of one pass over the training scans, 110 elsewhere; see `one_pass`."""


def one_pass(arg: str) -> int:
  """Returns the batches of one pass, of 16 slices or 2 volumes.

  A later stage reads on where the stage before it stopped in the shuffled stream. Where
  that is within an epoch, a stage of so many batches sees some scans twice and misses
  others: 22 % of those of `demo` after 400 steps.

  Args:
    arg: Name of the data set, a key of `DATA`.
  """
  return PASS.get('stroke_flair' if arg.startswith('stroke_flair') else arg, 110)


def get_config(arg: str = 'demo') -> ConfigDict:
  """Returns the default config for a data set; the configs of methods start from it.

  Args:
    arg: Name of the data set, a key of `DATA`; 'demo' when empty.

  Raises:
    ValueError: There is no such data set.
  """
  data = choose('argument', arg or 'demo', DATA)
  return ConfigDict(
    dict(
      seed=0,
      data=data(),
      batch_size=32,
      steps=(),  # number of steps of each stage
      method=ConfigDict(),  # name of the file in uad_jax/methods, and its options
      adapt=ConfigDict(),  # options by name of the file in uad_jax/adapt, in order
      optimiser=dict(
        name='adamw',
        learning_rate=2e-3,
        schedule='cosine',
        warm_up=0.1,
        weight_decay=1e-4,
        clip=1.0,
      ),
      optimisers=ConfigDict(),  # by objective: options that replace `optimiser`'s
      scores=ConfigDict(),  # by row of the table: name of the scorer and its options
      variants=ConfigDict(),  # by name: batch entries that ask for another inference
      # Sizes of median filters, each of which adds a row for every row of `scores`.
      medians=(5,) if arg.startswith('stroke_flair') else (),
      variant_scores=(),  # rows of `scores` that the variants fill; all when empty
      postprocess='median',
      resamples=2000,
      log_every=50,
      save_every=500,
    )
  )


def norm_share(arg: str) -> float:
  """Returns the factor by which published loss weights are multiplied for a data set.

  Publications give loss weights for z-scored slices of 256 x 256 voxels. The weight of
  a loss term that grows with the L2 norm of the image is multiplied by this factor: the
  norm of a slice of the data set divided by the norm of such a slice.

  Args:
    arg: Name of the data set, a key of `DATA`; its slices have intensities in [0, 1].
  """
  size = 96 if arg == 'stroke_flair96' else 64
  return SPREAD * (128 if arg in FINE else size) / 256


def with_critic(
  config: ConfigDict,
  fit: str,
  critic_steps: int,
  steps: tuple[int, ...],
  generator: float = 1e-4,
) -> ConfigDict:
  """Sets the training and scoring options in the config of an adversarial method.

  The objective that reconstructs keeps the default optimiser: with the slow optimiser
  of the adversarial game it hardly learns in minutes. All objectives have the same
  schedule: when the learning rate of the reconstruction fell and those of the game did
  not, the game undid what the reconstruction had learnt (docs/tuning.md).

  Args:
    config: Config of the method, changed in place and returned.
    fit: Name of the objective that reconstructs.
    critic_steps: Updates of the critic for each update of another objective.
    steps: Number of steps of each stage. The critic is updated at every step of its
      stage, the other objectives at every `critic_steps`-th.
    generator: Learning rate of the objective 'generator': small where it also trains
      the networks that reconstruct.
  """
  config.method.critic_steps = critic_steps
  config.batch_size = 16
  config.steps = steps
  adversarial = dict(name='adam_critic', learning_rate=5e-4, clip=0.0)
  config.optimisers[fit] = {name: config.optimiser[name] for name in adversarial}
  config.optimisers.generator = dict(learning_rate=generator)
  config.optimiser.update(adversarial)
  config.scores.update(residual=dict(scorer='residual'), ssim=dict(scorer='ssim'))
  return config


def method_and_data(
  arg: str, methods: Sequence[str], datasets: Sequence[str]
) -> tuple[str, str]:
  """Parses the argument of a config file, 'METHOD:DATA', 'METHOD' or 'DATA'.

  Config files with several methods, such as configs/baur2021.py, call it.

  Args:
    arg: The argument; may be empty.
    methods: Methods of the config file; the first is the default.
    datasets: Data sets that the config file allows; the first is the default.

  Returns:
    Name of the method and name of the data set.

  Raises:
    ValueError: The config file has no such method or data set.
  """
  method, _, dataset = arg.partition(':')
  if method in datasets and not dataset:
    method, dataset = '', method
  method, dataset = method or methods[0], dataset or datasets[0]
  check_choice('method', method, methods)
  check_choice('data', dataset, datasets)
  return method, dataset


def shrink(config: ConfigDict, file: str, small: str, *sizes: str) -> ConfigDict:
  """Copies the network sizes and training options of a smaller config into a config.

  Both configs are of one method. Copied from the smaller config's `demo` are the method
  options `sizes`, the batch size, the steps, the learning rate (for all objectives) and
  the options of the adaptations that both have.

  Args:
    config: Config to shrink, changed in place and returned.
    file: File of that config, `__file__`.
    small: Name of the smaller config, a file of the same folder without '.py'.
    *sizes: Names of method options, such as 'widths'.
  """
  demo = read_config(pathlib.Path(file).with_name(f'{small}.py'), 'demo')
  config.method.update({name: demo.method[name] for name in sizes})
  config.batch_size, config.steps = demo.batch_size, demo.steps
  config.optimiser.learning_rate = demo.optimiser.learning_rate
  for options in config.optimisers.values():
    if 'learning_rate' in options:
      del options.learning_rate
  shared = [name for name in config.adapt if name in demo.adapt]
  config.adapt.update({name: demo.adapt[name] for name in shared})
  return config
