"""Answers of readers reach a stream once, and wrong ones are refused."""

import shutil

import pytest

from tests.online.synthetic_stream import leaves
from tests.prediction.stream.online_run import (
  STEMS,
  predicted,
  saved,
)
from uad_jax.data.preprocessing import nifti
from uad_jax.prediction import (
  feedback,
)


@pytest.mark.slow
def test_answers_of_readers_are_taken_once(run, source, state, tmp_path):
  out = tmp_path / 'out'
  predicted(run, source, out, state)
  before = saved(run, state)
  (sick,) = [line for line in before.log if line['flagged']]
  assert sick['decision'] == 'skip' and sick['step'] == 2
  # A reader calls the flagged scan healthy: it is learnt, from its file.
  answers = [feedback.Answer(STEMS[2], True), feedback.Answer(STEMS[0], False)]
  assert predicted(run, source, out, state, answers)[:3] == (3, 3, [])
  after = saved(run, state)
  lines = after.log[3:]
  assert [line['kind'] for line in lines] == ['answer', 'answer']
  assert lines[0]['maps'] == sick['maps'] and lines[0]['decision'] == 'update'
  assert lines[1]['maps'] == '' and not lines[1]['healthy']
  # Gibbs and Candes 2021: the level falls by gamma (1 - alpha) after a false alarm.
  settings = after.stream.settings
  step = settings.adaptive_rate * (1 - settings.alpha)
  assert after.stream.level.level == pytest.approx(settings.alpha - step)
  assert len(after.stream.votes.codes) == len(before.stream.votes.codes) + 1
  # The same command takes no answer twice; another answer is refused.
  bytes_before = state.read_bytes()
  predicted(run, source, out, state, answers)
  assert state.read_bytes() == bytes_before
  with pytest.raises(ValueError, match='was answered with healthy = 1 before'):
    predicted(run, source, out, state, [feedback.Answer(STEMS[2], False)])
  with pytest.raises(ValueError, match="no open decision on scan 'sub-99'"):
    predicted(run, source, out, state, [feedback.Answer('sub-99', False)])


def test_an_answer_without_the_scan_moves_the_level_alone(run, source, state, tmp_path):
  predicted(run, source, tmp_path / 'out', state)
  before = saved(run, state)
  rest = tmp_path / 'rest'
  shutil.copytree(source / 'sub-04', rest / 'sub-04')
  shutil.copytree(source / 'derivatives', rest / 'derivatives')
  reply = [feedback.Answer(STEMS[2], True)]
  with pytest.raises(nifti.BadScan, match='was decided at step 0'):
    predicted(run, rest, tmp_path / 'elsewhere', state, reply)
  after = saved(run, state)  # the answer itself was taken
  assert after.log[3]['maps'] == '' and after.stream.level.answers == 1
  assert leaves(after.stream.patterns) == leaves(before.stream.patterns)


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('name,healthy\na,1\n', 'has the columns name, healthy; needed are identifier'),
    ('', 'has the columns none'),
    ('identifier,healthy\na,yes\n', "line 2: healthy is 'yes'; allowed are 0 and 1"),
    ('identifier,healthy\na,1\na,0\n', "line 3: scan 'a' is named twice"),
  ],
)
def test_files_of_answers_are_checked(tmp_path, text, words):
  (tmp_path / 'answers.csv').write_text(text)
  with pytest.raises(ValueError, match=words):
    feedback.read(str(tmp_path / 'answers.csv'))


def test_a_file_of_answers_is_read(tmp_path):
  text = '\ufeffidentifier,reader,healthy\nsub-1/a,x,1\nsub-2/a,y,0\n'
  (tmp_path / 'answers.csv').write_text(text)
  answers = feedback.read(str(tmp_path / 'answers.csv'))
  assert answers == [('sub-1/a', True), ('sub-2/a', False)] and feedback.read('') == []
