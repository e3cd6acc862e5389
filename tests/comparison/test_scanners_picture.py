"""The picture of the scanners: one head before and after, and its marked voxels."""

import io

import numpy as np
from PIL import Image

from tests.small_run import world as world  # a finished run
from uad_jax.comparison import scanners_picture
from uad_jax.comparison.few_shot_record import shares
from uad_jax.report.atomic_files import read_json


def test_the_head_with_the_median_share_is_shown_for_every_run(world):
  # Oracle: the shares of the run's own evaluation of the same scans.
  _, source, run, _ = world
  runs = {'before': run, 'after': run}
  rows = scanners_picture.healthy_rows(runs, str(source))
  assert [row.label for row in rows] == ['before', 'after']
  np.testing.assert_array_equal(rows[0].scores, rows[1].scores)
  stored = shares(run, read_json(run / 'results.json')['default'])
  assert min(abs(rows[0].marked - share) for share in stored.values()) < 1e-3
  content = scanners_picture.picture(rows)
  width, height = Image.open(io.BytesIO(content)).size
  assert height > width  # three panels below each other for each of two rows
