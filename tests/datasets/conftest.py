import pytest

from tests.datasets import trees


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  """(miniature) -> its folder, made once."""
  root, made = tmp_path_factory.mktemp('sources'), {}

  def source(name):
    if name == 'fastmri_plus':
      pytest.importorskip('h5py')
    if name not in made:
      made[name] = root / name
      getattr(trees, name)(made[name])
    return made[name]

  return source
