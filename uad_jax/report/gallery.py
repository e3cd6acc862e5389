"""A page with one slice of each scan of a data set, the doubtful ones first."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image
from scipy import ndimage

from uad_jax.data.cohorts.audit import Finding
from uad_jax.data.cohorts.look import Look
from uad_jax.report.atomic_files import write_text

EDGE = (34, 224, 255)
"""Colour of a lesion's outline."""


def picture(look: Look) -> str:
  """The slice as the data of an inlined image: right is right, front is up."""
  low, high = np.percentile(look.picture, (0.5, 99.5))
  grey = np.clip((look.picture - low) / max(high - low, 1e-6), 0, 1)
  colours = np.repeat((255 * grey).astype(np.uint8)[..., None], 3, -1)
  edge = look.lesion & ~ndimage.binary_erosion(look.lesion)
  colours[edge] = EDGE
  return 'data:image/png;base64,' + _png(np.rot90(colours))


def _png(colours: np.ndarray) -> str:
  stream = io.BytesIO()
  Image.fromarray(np.ascontiguousarray(colours)).save(stream, 'PNG', optimize=True)
  return base64.b64encode(stream.getvalue()).decode()


def write(
  path: Path, title: str, seen: Sequence[Look], findings: Sequence[Finding]
) -> Path:
  """Writes the page and returns its path."""
  said: dict[str, list[str]] = {}
  for finding in findings:
    said.setdefault(finding.scan, []).append(finding.sentence)
  order = sorted(
    seen, key=lambda look: (look.name not in said, look.split, look.subject)
  )
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  scans = [
    {
      'name': look.name,
      'split': look.split,
      'pathology': look.pathology,
      'picture': picture(look),
      'volume': look.numbers['brain volume in ml'],
      'said': said.get(look.name, ()),
    }
    for look in order
  ]
  page = environment.get_template('gallery.html').render(
    title=title, scans=scans, general=said.get('', ()), findings=findings
  )
  write_text(path, page)
  return path
