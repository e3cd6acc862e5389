"""Functions that return the data configs: the options of a data set, `config.data`."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from uad_jax.data.mixing import PAINTED

IXI = 'data/ixi_lesions'
"""Folder of the IXI scans with inserted lesions, which have the shapes of real strokes;
the command `prepare lesions` in README.md writes it."""

PLACES = dict(dir='data', train='train', val='val', test='test', polarity='auto')
"""Folder of the prepared data, names of the splits and polarity of the lesions
(`registry.polarity`), in every data config."""

STROKE_FLAIR = 'data/stroke_flair_2d'
"""Folder of the FLAIR slices of stroke patients, see docs/datasets.md."""


def sim_brain(name: str) -> ConfigDict:
  """Returns the data config of the simulated brain scans.

  Args:
    name: Size of the data set: 'demo', 'slices' or 'volumes'.
  """
  return ConfigDict(
    dict(
      name='sim_brain',
      config=name,
      **PLACES,
      selection='val_lesion',
    )
  )


def ixi(shape: tuple[int, ...], spacing: float) -> ConfigDict:
  """Returns the data config of IXI T1 scans into which lesions were inserted.

  The lesions have the shapes of real strokes; see the command `prepare lesions`.

  Args:
    shape: Spatial shape of the images, in voxels.
    spacing: Voxel size, mm.
  """
  return ConfigDict(
    dict(
      name='nifti_folder',
      source=IXI,
      layout='lesion_cohort',
      job=dict(shape=shape, spacing=spacing, align=True, intensity='quartiles'),
      domain='ixi',
      **PLACES,
      selection='val_lesion',
    )
  )


def folder() -> ConfigDict:
  """Returns the data config of a folder with the user's own NIfTI scans.

  The folder is set by the flag `--config.data.source=DIR`.
  """
  return ConfigDict(
    dict(
      name='nifti_folder',
      source='',
      layout='bids',
      patterns=dict(
        image='sub-*/**/anat/*_T1w.nii*',
        mask='',
        labels='',
        lesion='',
        subject=placeholder(str),  # regular expressions, see docs/datasets.md
        session=placeholder(str),
        lesion_values=placeholder(tuple),  # numbers of the lesion files that are lesion
      ),
      job=dict(shape=(64, 64), spacing=3.0, align=True, intensity='quartiles'),
      keep_going=False,
      **PLACES,
      selection=PAINTED,
    )
  )


def images(
  shape: tuple[int, int],
  spacing: float,
  intensity: str,
  source: str = '',
  polarity: str = 'auto',
  selection: str = PAINTED,
) -> ConfigDict:
  """Returns the data config of a folder with 2-D images, such as PNG files.

  The flag `--config.data.source=DIR` sets the folder.

  Args:
    shape: Sizes of the prepared images, in pixels.
    spacing: Pixel size in mm; 0 scales each whole picture to the shape.
    intensity: Name of a normalisation in `intensity.NORMALISATIONS`.
    source: Folder of the images.
    polarity: 'bright', 'dark', 'both' or 'auto', see `registry.polarity`.
    selection: Split on which the default anomaly map is chosen.
  """
  names = ('train', 'val', 'test', 'healthy', 'lesion', 'mask', 'subject')
  return ConfigDict(
    dict(
      name='image_folder',
      source=source,
      layout='folders',
      patterns=dict.fromkeys(names, ''),
      job=dict(
        shape=shape, spacing=spacing, intensity=intensity, channel=-1, pixel_mm=0.0
      ),
      keep_going=False,
      **dict(PLACES, polarity=polarity),
      selection=selection,
    )
  )


def stroke_flair(shape: tuple[int, int], spacing: float) -> ConfigDict:
  """Returns the data config of the FLAIR slices of stroke patients (real lesions).

  Args:
    shape: Sizes of the prepared slices, in pixels.
    spacing: Pixel size in mm.
  """
  return images(shape, spacing, 'robust', STROKE_FLAIR, 'bright', 'val_lesion')


def cohort() -> ConfigDict:
  """Returns the data config of a public data set, such as IXI or BraTS.

  Flags choose it: `--config.data.name=ixi --config.data.source=DIR`. A second data set,
  `others.target`, is opened if the config of a split names it:
  `--config.data.others.target.name=brats --config.data.test=target/test`.
  """
  settings = dict(
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
      **settings,
      **PLACES,
      selection=PAINTED,
      others=dict(target=dict(settings, name='brats')),
    )
  )


FINE = ('slices', 'ixi128', 'cohort', 'stroke_flair', 'images')
"""Data sets with slices of 128 x 128 voxels. Networks halve their resolution once more,
so that a voxel of the bottleneck covers as many millimetres as at 64 x 64."""

SINGLE = (
  'volumes', 'ixi3d', 'stroke_flair', 'stroke_flair96', 'stroke_flair64', 'images',
)  # fmt: skip
"""Data sets in which all examples have the same height: volumes and single slices."""

VOLUMES = ('volumes', 'ixi3d')
"""Data sets of whole heads."""

DATA = {
  'demo': lambda: sim_brain('demo'),
  'slices': lambda: sim_brain('slices'),
  'volumes': lambda: sim_brain('volumes'),
  'ixi': lambda: ixi((64, 64), 3.0),
  'ixi128': lambda: ixi((128, 128), 2.0),
  'ixi3d': lambda: ixi((56, 64, 56), 3.0),
  'stroke_flair': lambda: stroke_flair((128, 128), 1.5),
  'stroke_flair96': lambda: stroke_flair((96, 96), 2.0),
  'stroke_flair64': lambda: stroke_flair((64, 64), 3.0),
  'folder': folder,
  'images': lambda: images((128, 128), 0.0, 'percentile'),
  'cohort': cohort,
}
"""Data configs by the name in a config's argument, as in configs/vae.py:NAME."""
