"""The main job on two folders of heads, and what it says of mistakes in a mixture."""

import json

import pytest

from tests.data.heads import tree
from tests.small_run import make_config
from uad_jax import experiment, run_folder


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  """Two folders of heads, the second with a training and a test subject."""
  root = tmp_path_factory.mktemp('mixing')
  for place, splits in (
    ('a', ('train', 'train', 'val', 'test')),
    ('b', ('train', 'test')),
  ):
    subjects = [f'sub-{i:02d}' for i in range(len(splits))]
    rows = [f'{s}\t{split}\n' for s, split in zip(subjects, splits, strict=True)]
    tree(root / place, subjects, 'participant_id\tsplit\n' + ''.join(rows))
  made = make_config(root / 'a', root / 'data')
  made.steps = (3,)
  other = made.data.to_dict() | {'source': str(root / 'b')}
  made.data.others = {'oasis': other}
  made.data.train = 'train + 0.5*oasis/train'
  made.data.test = 'test + oasis/test'
  return made


@pytest.mark.slow
def test_a_job_on_two_data_sets(config, tmp_path):
  run_folder.run(config, str(tmp_path / 'run'))
  results = json.loads((tmp_path / 'run' / 'results.json').read_text())
  card = json.loads((tmp_path / 'run' / 'model.json').read_text())
  made = experiment.build(config)
  each = [builder.digest() for builder in made.builders.values()]
  assert results['run']['manifest'] == card['manifest'] not in each
  assert card['data'].count(' + ') == 1 and len(each) == 2
  table = (tmp_path / 'run' / 'subjects.csv').read_text()
  assert 'oasis/sub-01' in table and 'sub-03' in table


@pytest.mark.parametrize(
  'change, sentence',
  [
    (dict(train='train + oasis/trian'), "no split 'trian'; there are train, test"),
    (
      dict(test='test + oasi/test'),
      "the data set 'oasi'; config.data.others has oasis",
    ),
    (dict(val='0.5*val + oasis/test'), 'has a weight'),
  ],
)
def test_a_mistake_is_named_before_any_training(config, tmp_path, change, sentence):
  other = config.copy_and_resolve_references()
  other.data.update(change)
  with pytest.raises(ValueError, match=sentence):
    run_folder.run(other, str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_data_sets_of_unequal_shape_are_refused_unbuilt(config, tmp_path):
  other = config.copy_and_resolve_references()
  other.data.others.oasis.job.shape = (12, 16)
  with pytest.raises(
    ValueError, match=r'\(16, 16, 1\) and those of .*oasis .*12, 16, 1'
  ):
    run_folder.run(other, str(tmp_path / 'run'))
