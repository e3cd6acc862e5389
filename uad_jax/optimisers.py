"""Optimisers by name, with the schedule and clipping that a config asks for."""

import jax.numpy as jnp
import optax

SQUARES = 0.999  # decay of amsgrad's second moment


def amsgrad(rate, decay: float) -> optax.GradientTransformation:
  """Adam that divides by the largest second moment so far (Reddi et al. 2018).

    g <- g + decay w,  m <- .9 m + .1 g,  v <- .999 v + .001 g^2,  u <- max(u, v)
    w <- w - rate * m / (1 - .9^t) / sqrt(u / (1 - .999^t))

  The largest moment is corrected after it was taken. `optax.amsgrad` corrects first,
  and so holds the square of the first gradients as they are, a thousand times as much,
  for the whole training: the published program had another step.
  """
  return optax.chain(
    optax.add_decayed_weights(decay),
    optax.scale_by_amsgrad(b2=SQUARES, bias_correction_nu=False),
    optax.scale_by_schedule(lambda count: jnp.sqrt(1 - SQUARES ** (count + 1))),
    optax.scale_by_learning_rate(rate),
  )


OPTIMISERS = {
  'adam': lambda rate, decay: optax.adam(rate),
  'adam_half': lambda rate, decay: optax.adam(rate, b1=0.5),
  'adam_critic': lambda rate, decay: optax.adam(rate, b1=0.5, b2=0.9),
  'amsgrad': amsgrad,
  'adamw': lambda rate, decay: optax.adamw(rate, weight_decay=decay),
  'sgd': lambda rate, decay: optax.sgd(rate, momentum=0.9),
}
SCHEDULES = {
  'constant': lambda rate, steps, warm: optax.constant_schedule(rate),
  'cosine': lambda rate, steps, warm: optax.warmup_cosine_decay_schedule(
    0.04 * rate, rate, max(1, int(warm * steps)), max(2, steps), 1e-3 * rate
  ),
}


def choose(table: dict, name: str, what: str):
  """The entry of a table, or one sentence with what there is."""
  if name not in table:
    raise ValueError(f"unknown {what} '{name}'; there are {', '.join(table)}")
  return table[name]


def make(
  steps: int,
  name: str = 'adamw',
  learning_rate: float = 1e-3,
  schedule: str = 'cosine',
  warm_up: float = 0.1,
  weight_decay: float = 1e-4,
  clip: float = 1.0,
) -> optax.GradientTransformation:
  """The transformation for one objective.

  Args:
    steps: How often the objective will move: the length of its schedule.
    name: From `OPTIMISERS`.
    learning_rate: The peak.
    schedule: 'constant', or 'cosine' after a linear warm-up.
    warm_up: Share of the steps that warm up.
    weight_decay: Of AdamW; with 'amsgrad' added to the gradient, as an L2 penalty.
    clip: Largest global norm of the gradient; 0 switches clipping off.
  """
  rate = choose(SCHEDULES, schedule, 'schedule')(learning_rate, steps, warm_up)
  optimiser = choose(OPTIMISERS, name, 'optimiser')(rate, weight_decay)
  if clip:
    optimiser = optax.chain(optax.clip_by_global_norm(clip), optimiser)
  # On one vector: a program with a few updates per parameter compiles a third longer.
  return optax.flatten(optimiser)
