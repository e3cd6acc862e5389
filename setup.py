"""Installs uad_jax; the tested versions stand in requirements.txt."""

from setuptools import find_packages, setup

TEST = [
  'h5py>=3.11',
  'hypothesis>=6.100',
  'pytest>=8,<9.2',  # whose node ids pytest-xdist 3.8 cannot group tests by
  'pytest-benchmark>=5',
  'pytest-timeout>=2.3',
  'pytest-xdist>=3.6',
  'ruff>=0.14',
]

CONFIGS = {'uad_jax.configs': 'configs', 'uad_jax.configs.adapt': 'configs/adapt'}
"""Folders of the configs, at the top of the repository, which are installed too."""

setup(
  name='uad_jax',
  version='0.1.0',
  description='Unsupervised anomaly detection for brain MRI in JAX',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=[*find_packages(include=['uad_jax', 'uad_jax.*']), *CONFIGS],
  package_dir={'uad_jax': 'uad_jax', **CONFIGS},
  package_data={'uad_jax': ['report/*.html', 'datasets/**/*.txt']},
  entry_points={
    'console_scripts': [
      'uad-train = uad_jax.main:command',
      'uad-predict = uad_jax.predict:command',
      'uad-adapt = uad_jax.adapt.__main__:command',
      'uad-prepare = uad_jax.prepare:command',
      'uad-benchmark = uad_jax.benchmark:command',
    ]
  },
  install_requires=[
    'jax>=0.10',
    'flax>=0.12',
    'optax>=0.2.7',
    'orbax-checkpoint>=0.11,<1.0',
    'tensorflow-datasets>=4.9.9',
    'importlib-resources>=6',  # tensorflow-datasets needs it and does not say so
    'array-record>=0.8',
    'grain>=0.2.15',
    'clu>=0.0.12',
    'ml-collections>=1.1',
    'absl-py>=2.1',
    'numpy>=2.0',
    'scipy>=1.14',
    'nibabel>=5.3',
    'nilearn>=0.12',
    'scikit-image>=0.24',
    'scikit-learn>=1.5',
    'threadpoolctl>=3.5',
    'matplotlib>=3.9',
    'jinja2>=3.1',
  ],
  extras_require={
    'cuda': ['jax[cuda13]>=0.10'],
    'tpu': ['jax[tpu]>=0.10'],
    'tensorboard': ['tensorflow-cpu>=2.20', 'tensorboard>=2.20'],
    'n4': ['SimpleITK>=2.4'],
    'hd_bet': ['hd-bet>=2.0'],
    'synthstrip': ['nipreps-synthstrip'],
    'fastmri': ['h5py>=3.11'],
    'tables': ['openpyxl>=3.1', 'xlrd>=2.0'],
    # TFDS 4.9.10 cannot read its own data sets with protobuf 6.32 and 6.33.
    'beam': ['apache-beam>=2.60', 'protobuf>=6.30,<6.32'],
    'ants': ['antspyx>=0.5'],
    'torch': ['torch>=2.6'],
    'test': TEST,
  },
)
