import pytest

from tests.datasets import healthy_trees, lesion_trees

WRITERS = vars(healthy_trees) | vars(lesion_trees)


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  """(name of a miniature tree) -> its folder, written once."""
  root, folders = tmp_path_factory.mktemp('sources'), {}

  def source(name):
    if name == 'fastmri_plus':
      pytest.importorskip('h5py')
    if name not in folders:
      folders[name] = root / name
      WRITERS[name](folders[name])
    return folders[name]

  return source
