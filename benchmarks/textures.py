"""Detectors on a texture whose defects have its brightness. Writes docs/textures.md.

  python -m benchmarks.textures [--rows=padim,fae] [--seeds=0,1,2] [--render]

What methods on features are published on are surfaces (MVTec AD), which cannot come
with this project. Here the surface is made: noise in a band of frequencies along one
direction, of mean 0.5 and deviation 0.15 everywhere. A defect is a blob, 10 to 20
pixels wide, with the same noise across that direction. No pixel of it is unusual by
itself: a detector of intensities is at chance, one that sees the texture is not. 64
test images with a defect and 64 without; AUROC of pixels over the images with a defect,
and of images by the 99th percentile of their maps. Results are kept in
docs/textures.json; none is computed twice.
"""

import functools

import jax
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.kept_results import command
from benchmarks.small_training import Training, batch_of, training_of
from uad_jax import experiment
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.report.tables import markdown

SIZE, BATCH, TEST = 64, 16, 64
STEPS = {
  'padim': (300, 20),
  'patchcore': (300, 20, 1),
  'fae': (300, 20, 300),
  'reverse_distillation': (300, 20, 300),
  'feature_transformer': (300, 20, 300),
}
"""Steps by stage of the rows that are trained, names of configs."""

ROWS = ('intensity', *STEPS)
"""Rows; `intensity` is the control, the distance of a pixel to the mean."""


def texture(random: np.random.Generator, number: int, across: bool) -> np.ndarray:
  """Makes images of the texture, [N, 64, 64].

  Args:
    random: Random numbers.
    number: Number of images.
    across: Whether the direction is turned by 90 degrees.
  """
  frequency = np.stack(np.meshgrid(*[np.fft.fftfreq(SIZE)] * 2, indexing='ij'), -1)
  angle = np.pi * (1 / 6 + across / 2)
  centre = np.array([np.cos(angle), np.sin(angle)]) / 8  # a wave is 8 pixels long
  gain = sum(
    np.exp(-((frequency - s * centre) ** 2).sum(-1) / (2 * 0.03**2)) for s in (1, -1)
  )
  noise = random.standard_normal((number, SIZE, SIZE))
  image = np.fft.ifft2(np.fft.fft2(noise) * gain).real
  return 0.5 + 0.15 * image / image.std((1, 2), keepdims=True)


def surfaces(random: np.random.Generator, number: int) -> np.ndarray:
  """Makes images without a defect, [N, 64, 64, 1] in [0, 1]."""
  return np.float32(np.clip(texture(random, number, False), 0, 1))[..., None]


def defects(random: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
  """Makes images with one defect each, and the masks of the defects, [N, 64, 64, 1]."""
  radius = random.uniform(5, 10, (number, 2, 1, 1))
  centre = random.uniform(12, SIZE - 12, (number, 2, 1, 1))
  grid = np.stack(np.meshgrid(*[np.arange(SIZE)] * 2, indexing='ij'))
  distance = (((grid - centre) / radius) ** 2).sum(1)
  blob = 1 / (1 + np.exp(6 * (distance - 1)))
  normal, turned = (texture(random, number, across) for across in (False, True))
  # Weights whose squares sum to 1 keep the deviation where the two overlap.
  image = 0.5 + np.sqrt(1 - blob) * (normal - 0.5) + np.sqrt(blob) * (turned - 0.5)
  image = np.float32(np.clip(image, 0, 1))
  return image[..., None], distance[..., None] < 1


@functools.cache
def training(name: str) -> Training:
  """Makes the functions of a row, with the sizes of its config for `demo`."""
  config = read_config(name, 'demo')
  method = experiment.make_method(config, (SIZE, SIZE), 1)
  return training_of(method, STEPS[name], config.optimiser.learning_rate)


def maps(name: str, images: np.ndarray, seed: int) -> np.ndarray:
  """Computes the anomaly maps of a row for test images, [N, 64, 64, 1]."""
  if name == 'intensity':
    return abs(images - 0.5)
  random = np.random.default_rng(1000 + seed)
  infer = training(name).run(
    lambda: batch_of(surfaces(random, BATCH)), jax.random.key(seed)
  )
  parts = np.split(images, len(images) // BATCH)
  return np.concatenate([np.asarray(infer(batch_of(x))['novelty']) for x in parts])


def measure(name: str, seed: int) -> dict[str, float]:
  """Computes the AUROC of a row by pixel and by image."""
  random = np.random.default_rng(seed)
  healthy, (sick, mask) = surfaces(random, TEST), defects(random, TEST)
  values = maps(name, np.concatenate([healthy, sick]), seed)
  whole = np.percentile(values, 99, axis=(1, 2, 3))
  return {
    'pixel': round(float(roc_auc_score(mask.ravel(), values[TEST:].ravel())), 4),
    'image': round(float(roc_auc_score(np.repeat([0, 1], TEST), whole)), 4),
  }


def page(kept: dict[str, dict[str, dict[str, float]]]) -> str:
  """Renders the page."""
  rows = [
    [
      name,
      *(
        ', '.join(f'{kept[name][seed][level]:.3f}' for seed in sorted(kept[name]))
        for level in ('pixel', 'image')
      ),
    ]
    for name in ROWS
    if kept.get(name)
  ]
  head = ['row', 'AUROC of pixels', 'AUROC of images']
  return (
    '# A texture and its defects\n\n'
    'Written by `python -m benchmarks.textures --render` from docs/textures.json. The '
    'images are noise in a band of\nfrequencies along one direction; a defect is a '
    'blob with the same noise across that direction\n(`benchmarks/textures.py`). A '
    'cell has one number for each seed. `intensity` is the control: a detector\nthat '
    'does not see the texture is at 0.5.\n\n'
    f'{markdown(head, rows)}\n'
  )


if __name__ == '__main__':
  command('textures', ROWS, measure, page)
