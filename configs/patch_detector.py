"""Classic novelty detectors on the patches around each voxel.

  python -m uad_jax.main --config=configs/patch_detector.py:lof:ixi --workdir=runs/lof

Arguments: DETECTOR, DATA or DETECTOR:DATA. DETECTOR is `knn` (default), `gaussian`,
`pca`, `kernel_pca`, `gmm`, `kde`, `lof`, `one_class_svm`, `svdd` or `isolation_forest`.
DATA is a data set of uad_jax/base_config: `demo` (default), `slices`, `volumes`, `ixi`,
`ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64` or `images`.

No network is trained: `config.steps` is one pass over the training scans, which
collects the vectors, and one step that fits the detector to them.

Measured (docs/classic_detectors.md, seed 0): AUPRC 0.006 (gaussian, pca) to 0.150 (lof)
on `ixi`, whose atlas has 0.342 and chance 0.007; 0.059 (pca) to 0.490
(isolation_forest) on `stroke_flair64`, whose atlas has 0.640 and chance 0.064.
"""

from uad_jax import base_config

DETECTORS = {
  'knn': dict(k=5),
  'gaussian': {},
  'pca': dict(components=5),
  'kernel_pca': dict(components=30),
  'gmm': dict(components=8),
  'kde': {},
  'lof': dict(k=20),
  'one_class_svm': dict(nu=0.1),
  'svdd': dict(nu=0.1),
  'isolation_forest': dict(trees=100, samples=256),
}
"""Options by detector."""


def get_config(arg: str = 'demo'):
  """Makes the config for the argument `arg`, 'DETECTOR:DATA', 'DETECTOR' or 'DATA'."""
  detector, data = base_config.method_and_data(
    arg, tuple(DETECTORS), tuple(base_config.DATA)
  )
  config = base_config.get_config(data)
  config.method.update(
    name='patch_detector',
    detector=detector,
    options=DETECTORS[detector],
    patch=3,
    place=True,
    bank=2000,
  )
  volumes = data in base_config.VOLUMES
  config.batch_size = 2 if volumes else 16
  config.steps = (base_config.one_pass(data), 1)
  config.scores.novelty = dict(scorer='output', of='novelty')
  return config
