"""Functions that make optax optimisers with a schedule and gradient clipping."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from uad_jax.ops.choices import check_choice, choose
from uad_jax.ops.limits import check_number

SECOND_DECAY = 0.999
"""Decay of the second moment in `amsgrad`."""


def amsgrad(rate, decay: float) -> optax.GradientTransformation:
  """Creates the optimiser AMSGrad: Adam that uses the largest second moment so far.

    g <- g + decay w,  m <- .9 m + .1 g,  v <- .999 v + .001 g^2,  u <- max(u, v)
    w <- w - rate * m / (1 - .9^t) / sqrt(u / (1 - .999^t))

  with weights w, gradient g, moments m and v, largest moment u, number of the update t
  (Reddi et al. 2018). The bias of the second moment is corrected after the maximum is
  taken, as in the published program. `optax.amsgrad` corrects before: the maximum then
  keeps the squares of the first gradients a thousand times larger, for the whole
  training.

  Args:
    rate: Learning rate, a number or an optax schedule.
    decay: Weight decay, added to the gradient as an L2 penalty.
  """
  return optax.chain(
    optax.add_decayed_weights(decay),
    optax.scale_by_amsgrad(b2=SECOND_DECAY, bias_correction_nu=False),
    optax.scale_by_schedule(lambda count: jnp.sqrt(1 - SECOND_DECAY ** (count + 1))),
    optax.scale_by_learning_rate(rate),
  )


OPTIMISERS = {
  'adam': lambda rate, decay: optax.adam(rate),
  'adam_half': lambda rate, decay: optax.adam(rate, b1=0.5),
  'adam_critic': lambda rate, decay: optax.adam(rate, b1=0.5, b2=0.9),
  'adamax': lambda rate, decay: optax.adamax(rate),
  'amsgrad': amsgrad,
  'adamw': lambda rate, decay: optax.adamw(rate, weight_decay=decay),
  'sgd': lambda rate, decay: optax.sgd(rate, momentum=0.9),
}
"""Optimisers by name: (learning rate, weight decay) -> optax transformation."""

SCHEDULES = {
  'constant': lambda rate, steps, warm: optax.constant_schedule(rate),
  'cosine': lambda rate, steps, warm: optax.warmup_cosine_decay_schedule(
    0.04 * rate, rate, max(1, int(warm * steps)), max(2, steps), 1e-3 * rate
  ),
}
"""Schedules by name: (peak rate, updates, share of warm-up) -> optax schedule."""


def check(options: Mapping[str, Any], key: str) -> None:
  """Checks the options of an optimiser without making it.

  Args:
    options: Arguments of `make` by name; missing ones are not checked.
    key: Name of this part of the config, for the error message.

  Raises:
    ValueError: A value is not allowed.
  """
  for name, table in (('name', OPTIMISERS), ('schedule', SCHEDULES)):
    if name in options:
      check_choice(f'{key}.{name}', options[name], table)
  if 'learning_rate' in options:
    check_number(f'{key}.learning_rate', options['learning_rate'], 0, above=True)
  if 'warm_up' in options:
    check_number(f'{key}.warm_up', options['warm_up'], 0, 1)
  for name in ('weight_decay', 'clip'):
    if name in options:
      check_number(f'{key}.{name}', options[name], 0)


def make(
  steps: int,
  name: str = 'adamw',
  learning_rate: float = 1e-3,
  schedule: str = 'cosine',
  warm_up: float = 0.1,
  weight_decay: float = 1e-4,
  clip: float = 1.0,
) -> optax.GradientTransformation:
  """Makes an optax optimiser with a learning-rate schedule and gradient clipping.

  It serves one objective: a loss that trains some networks of a method.

  Args:
    steps: Number of updates of the objective in the whole training, which is the length
      of the schedule.
    name: Optimiser, a key of `OPTIMISERS`.
    learning_rate: Peak learning rate.
    schedule: 'constant', or 'cosine': linear warm-up from 0.04 of the peak, then cosine
      decay to 0.001 of it.
    warm_up: Share of the updates that warm up, in [0, 1].
    weight_decay: Decoupled weight decay of 'adamw'; L2 penalty of 'amsgrad'; the other
      optimisers have none.
    clip: Largest global norm of the gradient; 0 switches clipping off.

  Raises:
    ValueError: There is no such optimiser or schedule.
  """
  rate = choose('schedule', schedule, SCHEDULES)(learning_rate, steps, warm_up)
  optimiser = choose('optimiser', name, OPTIMISERS)(rate, weight_decay)
  if clip:
    optimiser = optax.chain(optax.clip_by_global_norm(clip), optimiser)
  # All parameters are updated as one vector: separate updates of each array make the
  # program a third slower to compile.
  return optax.flatten(optimiser)
