"""Results in the docstrings of presets: they are those of the stored records."""

import json
import pathlib

import pytest

from benchmarks import preset_results
from uad_jax.comparison.benchmark_rows import ROWS

pytestmark = pytest.mark.usefixtures('in_the_project')


def test_the_docstrings_of_the_project_have_the_stored_results():
  results = preset_results.stored_results()
  timings = json.loads(pathlib.Path('docs/methods.json').read_text())
  files = preset_results.presets()
  assert len(files) > 10 and {file.stem for file in files} <= set(ROWS)
  for file in files:
    text = preset_results.paragraph(file.stem, results, timings)
    assert f'\n\n{text}{preset_results.END}' in file.read_text(), file


def test_the_paragraph_alone_changes():
  source = f'"""Title.\n\nOld.\n\n{preset_results.START} a\nb c.\n"""\n\nx = 1\n'
  assert preset_results.updated(source, 'New.') == (
    '"""Title.\n\nOld.\n\nNew.\n"""\n\nx = 1\n'
  )
  with pytest.raises(ValueError, match='does not open the last paragraph'):
    preset_results.updated(source.replace('b c.', 'b.\n\nc.'), 'New.')
