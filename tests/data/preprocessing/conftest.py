import numpy as np
import pytest

from tests.data.heads import head, write


@pytest.fixture(scope='session')
def files(tmp_path_factory):
  """A T1 scan on a tilted grid with axes PSR, and its labels."""
  folder = tmp_path_factory.mktemp('head')
  image, labels, affine = head()
  return {
    'path': write(folder / 'a_T1w.nii.gz', image, affine, np.int16),
    'labels': write(folder / 'a_dseg.nii.gz', labels.astype(np.uint8), affine),
  }
