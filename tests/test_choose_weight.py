"""The choice of a restoration's weight, end to end on a tiny run."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.small_run import world as world  # the finished run of the main job
from uad_jax import choose_weight
from uad_jax.scores import restoration

ROW = dict(scorer='restoration', weight=9.0, steps=2, rates=[1e-3, 1e-3], clip=0.0)


@pytest.fixture
def run(world, tmp_path):  # noqa: F811
  """A copy of that run with a row to choose the weight of."""
  copy = tmp_path / 'run'
  shutil.copytree(world[2], copy)
  rows = {
    'map': ROW,
    'map_bright': ROW | {'sign': 'bright'},
    'map_longer': ROW | {'steps': 3},
  }
  change(copy, scores={'residual': {'scorer': 'residual'}, **rows})
  return copy


def change(run, **entries):
  path = run / 'config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_the_command_prints_the_table_and_keeps_it(run):
  done = subprocess.run(
    [sys.executable, '-m', 'uad_jax.choose_weight', f'--checkpoint={run}',
     '--weights=0,1,5', '--batches=1'],
    cwd=ROOT, capture_output=True, text=True, timeout=200,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  kept = json.loads((run / choose_weight.RESULT).read_text())
  assert (
    kept['rows'] == ['map', 'map_bright']
    and kept['split'] == 'val'
    and kept['step'] == 6
  )
  assert kept['options']['steps'] == 2 and 'weight' not in kept['options']
  distances = dict(kept['distances'])
  assert list(distances) == [0.0, 1.0, 5.0] and len(set(distances.values())) == 3
  assert kept['best'] == min(distances, key=distances.get)
  for row in ('map', 'map_bright'):  # both restore alike, the longer one does not
    assert f'--config.scores.{row}.weight={kept["best"]:g}' in done.stdout
  assert 'longer' not in done.stdout
  assert '| 5 | ' in done.stdout and f'best: {kept["best"]:g}' in done.stdout
  assert 'choose_weight 3/3' in done.stderr
  # Nothing is left half-written, and the run's own files are as they were.
  assert {p.name for p in run.iterdir() if 'weight' in p.name} == {choose_weight.RESULT}


def test_without_candidates_they_are_the_variants(run, monkeypatch):
  offered = []

  def keep(infer, batches, key, weights, *rest, **options):
    offered.append(weights)
    return weights[0], dict.fromkeys(weights, 1.0)

  monkeypatch.setattr(restoration, 'choose_weight', keep)
  for variant in ('you2019', 'baur2021'):
    choose_weight.choose(run, variant=variant)
  assert [weights[1] for weights in offered] == [0.2, 0.1]
  assert [weights[-1] for weights in offered] == [3.8, 1.9]
  change(run, scores={'map': ROW | {'prior': 0.0625}})  # intensities of deviation 1/4
  choose_weight.choose(run)
  assert offered[-1][1] == 0.05 and offered[-1][-1] == 0.95


def test_a_row_that_is_not_there_takes_its_options_from_the_flags(run):
  change(run, scores={'residual': {'scorer': 'residual'}})
  found = choose_weight.choose(run, weights=(0.0, 1.0), variant='baur2021', steps=1)
  assert found['options'] == {'variant': 'baur2021', 'steps': 1}
  told = choose_weight.summary(found)
  assert "dict(scorer='restoration', weight=" in told and "'baur2021'" in told
  again = choose_weight.choose(run, weights=(0.0, 1.0), variant='you2019', steps=1)
  zero, one = again['distances'][0][1], found['distances'][0][1]
  np.testing.assert_allclose(zero, one, rtol=1e-5)  # without a weight they are one


def test_batches_are_spread_over_the_split(run):
  config = choose_weight.ConfigDict(json.loads((run / 'config.json').read_text()))
  config.batch_size = 1
  every = choose_weight.healthy_batches(config)
  assert len(every) > 3 and set(every[0]) == set(choose_weight.SEEN)
  two = choose_weight.healthy_batches(config, 2)
  heights = [float(batch['position'][0]) for batch in every]
  places = [heights.index(float(batch['position'][0])) for batch in two]
  assert places == [len(every) // 4, (3 * len(every)) // 4]
  assert len(choose_weight.healthy_batches(config, 10_000)) == len(every)


@pytest.mark.parametrize('best, end', [(0.0, True), (1.0, False), (2.0, True)])
def test_a_best_at_the_end_of_the_candidates_is_told(best, end):
  distances = [[w, 0.1 + abs(w - best)] for w in (0.0, 1.0, 2.0)]
  found = {'rows': ['map'], 'options': {}, 'best': best, 'distances': distances}
  assert ('at the end of the candidates' in choose_weight.summary(found)) == end


def test_what_cannot_be_is_one_sentence(run, tmp_path):
  with pytest.raises(FileNotFoundError, match='nowhere has no config.json'):
    choose_weight.choose(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match="no row 'residual' of .*; there are map"):
    choose_weight.choose(run, 'residual')
  with pytest.raises(ValueError, match="unknown variant 'zhou'; there are you2019"):
    choose_weight.choose(run, variant='zhou')
  # A method that trains nothing gives no elbo; its checkpoint is not looked at.
  shutil.rmtree(run / 'checkpoints')
  with pytest.raises(FileNotFoundError, match='holds no checkpoint'):
    choose_weight.choose(run)


def test_a_method_without_an_elbo_is_told(run, monkeypatch):
  opened = choose_weight.open_run(run)

  def only(params, stats, batch, key):
    return {'reconstruction': batch['image']}

  method = opened.method._replace(infer=only)
  opened = opened._replace(method=method)
  monkeypatch.setattr(choose_weight, 'open_run', lambda folder: opened)
  with pytest.raises(ValueError, match='needs elbo; this method gives reconstruction'):
    choose_weight.choose(run)
  assert not (run / choose_weight.RESULT).exists()
