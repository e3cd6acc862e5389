"""Rows of the table of one-class digits: options, scores and published numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

OPTIONS = {
  'kernel_pca': dict(components=30),
  'pca': dict(components=15),
  'gmm': dict(components=4, floor=1e-2),
}
"""Options of the detectors that have others than the defaults."""


class Trained(NamedTuple):
  """A method as it is trained on digits.

  Attributes:
    options: Its options.
    steps: Steps by stage.
    rate: Learning rate.
    score: (outputs, batch) -> scores [B]; or terms of a sum [B, K], each of which is
      scaled to [0, 1] on the training images.
    published: Mean AUROC on one-class MNIST, or '–'; with its source.
  """

  options: dict[str, Any]
  steps: tuple[int, ...]
  rate: float
  score: Callable
  published: str

  def longer(self, times: int) -> 'Trained':
    """Returns the row with a training that is `times` as long."""
    options = {k: v * times if k == 'after' else v for k, v in self.options.items()}
    return self._replace(options=options, steps=tuple(times * n for n in self.steps))


def residual(outputs, batch):
  return ((batch['image'] - outputs['reconstruction']) ** 2).mean((1, 2, 3))


def mean_of(name: str) -> Callable:
  return lambda outputs, batch: outputs[name].mean((1, 2, 3))


PUBLISHED = {
  'gaussian': '–',
  'gmm': '–',
  'isolation_forest': '.853 (Ruff et al. 2018)',
  'kde': '.814 (Ruff et al. 2018)',
  'kernel_pca': '–',
  'knn': '–',
  'lof': '–',
  'one_class_svm': '.913 (Ruff et al. 2018)',
  'pca': '–',
  'svdd': '.913 (as one_class_svm)',
}
"""Mean AUROC of the detectors on one-class MNIST, as remembered."""

FEATURES = dict(feature_widths=(16, 32), cell=2)
"""Network of features of the methods that restore them."""

METHODS = {
  'deep_svdd': Trained(
    dict(widths=(16, 16)),
    (300, 5, 300),
    1e-3,
    mean_of('novelty'),
    '.948 (Ruff et al. 2018)',
  ),
  'gpnd': Trained(
    dict(widths=(16, 16), latent=8, image_critic=(16, 16), latent_critic=(32, 32)),
    (600, 5, 5),
    1e-3,
    lambda o, b: -o['log_density'],
    '–',
  ),
  'ocgan': Trained(
    dict(
      widths=(16, 16),
      latent=8,
      latent_critic=(32, 16),
      image_critic=(8, 8),
      classifier=(16, 16),
      after=450,
    ),
    (600,),
    1e-3,
    residual,
    '.975 (Perera et al. 2019); a replication .893',
  ),
  'dagmm': Trained(
    dict(widths=(16, 16), latent=4),
    (600, 5),
    1e-3,
    mean_of('novelty'),
    '–',
  ),
  'lsa': Trained(
    dict(widths=(16, 16), latent=16, estimator=(16, 16), bins=20),
    (600,),
    1e-3,
    lambda o, b: jnp.stack([residual(o, b), -o['log_prob']], -1),
    '.975 (Abati et al. 2019); replications .82 to .92',
  ),
  'glow': Trained(
    dict(levels=2, steps=4, hidden=32, noise=1 / 16),
    (600,),
    1e-3,
    lambda o, b: -o['log_density'],
    '–',
  ),
  'fae': Trained(
    FEATURES | dict(widths=(16, 32), window=3),
    (300, 5, 300),
    1e-3,
    mean_of('novelty'),
    '–',
  ),
  'reverse_distillation': Trained(
    FEATURES | dict(widths=(16, 32)),
    (300, 5, 300),
    1e-3,
    mean_of('novelty'),
    '–',
  ),
  'feature_transformer': Trained(
    FEATURES | dict(feature_widths=(32,), width=32, depth=2, heads=4, neighbours=1),
    (300, 5, 300),
    1e-3,
    mean_of('novelty'),
    '–',
  ),
  'soft_introvae': Trained(
    dict(widths=(16, 16), latent=8, beta_rec=1.0, beta_kl=0.05, beta_neg=4.0),
    (300, 300),
    1e-3,
    residual,
    '–',
  ),
  'vae': Trained(
    dict(widths=(16, 16), latent=4, beta=0.05),
    (600,),
    1e-3,
    residual,
    '.92 to .97 (several)',
  ),
}
"""Methods by name."""
