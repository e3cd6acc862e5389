"""Functions that write an HTML page with a picture of each scan of a data set.

Scans with findings of the audit, that is doubtful scans, come first.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image
from scipy import ndimage

from uad_jax.data.cohorts.audit import Finding
from uad_jax.data.cohorts.scan_summary import ScanSummary
from uad_jax.report.atomic_files import write_text

EDGE = (34, 224, 255)
"""Colour of a lesion's outline."""


def picture(scan: ScanSummary) -> str:
  """Renders the example slice of a scan, with its lesion outlined, as a PNG data URI.

  The slice is that with the largest lesion, or the middle slice. The right of the
  subject is on the right, the front is up.
  """
  low, high = np.percentile(scan.picture, (0.5, 99.5))
  grey = np.clip((scan.picture - low) / max(high - low, 1e-6), 0, 1)
  colours = np.repeat((255 * grey).astype(np.uint8)[..., None], 3, -1)
  edge = scan.lesion & ~ndimage.binary_erosion(scan.lesion)
  colours[edge] = EDGE
  return 'data:image/png;base64,' + _png(np.rot90(colours))


def _png(colours: np.ndarray) -> str:
  """Encodes an RGB image [H, W, 3], uint8, as a PNG in base64."""
  stream = io.BytesIO()
  Image.fromarray(np.ascontiguousarray(colours)).save(stream, 'PNG', optimize=True)
  return base64.b64encode(stream.getvalue()).decode()


def write(
  path: Path, title: str, seen: Sequence[ScanSummary], findings: Sequence[Finding]
) -> Path:
  """Writes an HTML page with pictures of all scans and with the findings of the audit.

  Args:
    path: The HTML file.
    title: Heading of the page.
    seen: Scans of the data set.
    findings: Findings of the audit, about scans or about the whole data set.

  Returns:
    `path`.
  """
  sentences: dict[str, list[str]] = {}
  for finding in findings:
    sentences.setdefault(finding.scan, []).append(finding.sentence)
  order = sorted(
    seen, key=lambda scan: (scan.name not in sentences, scan.split, scan.subject)
  )
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  scans = [
    {
      'name': scan.name,
      'split': scan.split,
      'pathology': scan.pathology,
      'picture': picture(scan),
      'volume': scan.numbers['brain volume in ml'],
      'said': sentences.get(scan.name, ()),
    }
    for scan in order
  ]
  page = environment.get_template('gallery.html').render(
    title=title, scans=scans, general=sentences.get('', ()), findings=findings
  )
  write_text(path, page)
  return path
