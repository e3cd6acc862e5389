"""Config of a TFDS data set of MRI scans, and its name with a hash."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from uad_jax.data.cohorts import splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.steps import Steps, check_steps

Find = Callable[[str], tuple[list[Entry], list[str]]]
"""Function of a folder; returns its scans, and a sentence about each absent scan."""


@dataclasses.dataclass(kw_only=True, repr=False)
class ScanConfig(tfds.core.BuilderConfig):
  """TFDS config of a data set of MRI scans: source, preprocessing and splits.

  Attributes:
    steps: Preprocessing steps, pairs (name, parameters); 'pad_or_crop' sets the shape
      of a record: two sizes for slices, three for volumes.
    find: Function from the source folder to its scans and one message about each
      absent scan.
    identity: All settings that the records depend on, as values for JSON; their hash
      is part of the name of the config, and the manifest stores them.
    source: Folder of the scans; '' for the manual_dir of TFDS.
    label_map: Mapping from a tissue class to its numbers in the label files.
    fractions: Mapping from a split to its fraction of the subjects, for subjects whose
      split neither a table nor a list names.
    listed: Mapping from subject to split, from the split list of the data set.
    healthy: Whether the cohort is one of healthy subjects; those with a pathology then
      go to the split 'patients'.
    domain: Name of the scanner or site, for scans without one.
    keep_going: Whether bad scans are left out and listed; if not, the first one stops
      the build.
    workers: Number of processes that prepare scans.
    beam: Whether to prepare and write with Apache Beam.
    first: Name of the first version of a data set whose source has changed, see
      `versions`; '' for a first version.
  """

  steps: Steps
  find: Find
  identity: Mapping[str, Any]
  source: str = ''
  label_map: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
  fractions: Mapping[str, float] = dataclasses.field(
    default_factory=splits.HEALTHY.copy
  )
  listed: Mapping[str, str] = dataclasses.field(default_factory=dict)
  healthy: bool = False
  domain: str = ''
  keep_going: bool = False
  workers: int = 2
  beam: bool = False
  first: str = ''

  def __repr__(self) -> str:
    return self.name  # TFDS logs it

  def shape(self) -> tuple[int, ...]:
    """Returns the spatial shape of one record (slice or volume), in voxels.

    Raises:
      ValueError: The steps have no 'pad_or_crop' with two or three sizes.
    """
    shape = dict(self.steps).get('pad_or_crop', {}).get('shape', ())
    if len(shape) not in (2, 3):
      raise ValueError(
        "the steps give the records no common shape; allowed is a step 'pad_or_crop' "
        'with two sizes for slices or three for volumes'
      )
    return tuple(shape)


def named_config(stem: str, **fields) -> ScanConfig:
  """Creates a TFDS config whose name contains the shape of a record and a hash.

  The name is STEM-SIZE-HASH, such as 'ixi-128x128-0a1b2c3d'. STEM is `stem`, SIZE is
  the shape of a record. HASH is computed from the field `identity`, which holds all
  that the records depend on.

  Args:
    stem: First part of the name.
    **fields: Fields of `ScanConfig` except the name.
  """
  check_steps(fields['steps'])
  config = ScanConfig(name='unnamed', **{'label_map': preprocess.DLMUSE} | fields)
  identity = json.dumps(config.identity, sort_keys=True, default=list)
  size = 'x'.join(str(n) for n in config.shape())
  config.name = f'{stem}-{size}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}'
  return config
