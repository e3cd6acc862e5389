"""Functions that render the results of an evaluation as a self-contained HTML page."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np

from uad_jax.evaluation.cases import Case
from uad_jax.evaluation.summary import Results
from uad_jax.report import figures, pictures, reliability, tables

CARDS = (
  ('pooled', 'auprc', 'AUPRC'),
  ('pooled', 'oracle_dice', 'Oracle Dice'),
  ('pooled', 'dice_at_5', 'Dice at 5 % FPR'),
  ('pooled', 'lesion_recall_at_5', 'Lesions found at 5 % FPR'),
  ('pooled', 'healthy_fpr_at_5', 'FPR on healthy scans'),
  ('pooled', 'image_auroc_q99', 'Image AUROC'),
  ('registration', 'ventricle_dice', 'Ventricle Dice'),
  ('registration', 'cfe', 'Counterfactual field error'),
)

AT_THRESHOLD = (
  ('dice', 'Dice'),
  ('recall', 'Voxel recall'),
  ('fpr', 'FPR, all scans'),
  ('healthy_fpr', 'FPR, healthy scans'),
  ('lesion_recall', 'Lesion recall'),
  ('lesion_precision', 'Lesion precision'),
  ('lesion_f1', 'Lesion F1'),
)

RESTORATION = (
  ('lesion_copied', 'Lesion copied', '0 does not follow lesions, 1 copies them'),
  ('healthy_error', 'Error in healthy brain', 'mean absolute, in intensities'),
)

REGISTRATION = (
  ('ventricle_dice', 'Ventricle Dice', 'after the deformation'),
  ('ventricle_dice_before', 'Ventricle Dice of the prior', 'before the deformation'),
  (
    'ventricle_dice_ceiling',
    'Ventricle Dice of the scan',
    'what the surrogate can reach',
  ),
  (
    'folding_fraction',
    'Folded voxels',
    'share of the brain where det J is not positive',
  ),
  ('strain_healthy', 'Strain, healthy brain', 'mean Frobenius norm of grad u'),
  ('strain_lesion', 'Strain, lesions', 'mean Frobenius norm of grad u'),
  ('dlr', 'Strain ratio DLR', 'lesion to healthy brain; below 1 spares lesions'),
  ('rkr', 'Lesion residual kept RKR', '1 keeps all of it'),
  ('hrr', 'Healthy residual removed HRR', '1 removes all of it'),
  (
    'cfe',
    'Counterfactual field error CFE',
    'voxels; 0 is the lesion-free twin’s field',
  ),
  ('gate_healthy_open', 'Gate open, healthy brain', 'share of voxels'),
  ('gate_lesion_recall', 'Gate open, lesions', 'share of voxels'),
)


def facts(
  metrics: Sequence[tuple[str, str, str]], estimates: Mapping[str, Mapping]
) -> list[tuple[str, str, Mapping]]:
  """Selects the metrics that the evaluation has estimated, for a table of report.html.

  Args:
    metrics: Name, label and note of each metric, as in REGISTRATION.
    estimates: Estimates by name.

  Returns:
    Label, note and estimate of each metric.
  """
  return [(label, note, estimates[n]) for n, label, note in metrics if n in estimates]


def data_uri(png: bytes) -> str:
  """Encodes a PNG as a data URI, so that it can be embedded in an HTML page."""
  return f'data:image/png;base64,{base64.b64encode(png).decode()}'


def caption(case: Case) -> dict[str, str]:
  """Builds the caption of an example slice: name of its scan, pathology, AUPRC, Dice.

  Returns:
    'kind' (such as 'worst'), 'name' of the scan, and 'facts' as text.
  """
  area = float(np.sum(case.panels['lesion'] > 0)) if 'lesion' in case.panels else 0
  facts = [case.scan.pathology] if case.scan.pathology != 'none' else []
  facts += [f'domain {case.scan.domain}'] if case.scan.domain else []
  facts += [f'slice {case.slice + 1} of its stack']
  if not math.isnan(case.auprc):
    facts += [f'{area:.0f} lesion voxels in it', f'AUPRC {case.auprc:.3f}']
    facts += [f'Dice at 5 % FPR {case.dice:.3f}']
  return {'kind': case.kind, 'name': case.scan.name, 'facts': ' · '.join(facts)}


def plots(results: Results, metrics_file: Path | None) -> list[dict[str, str]]:
  """Draws the figures of report.html, each with a text that explains it.

  Args:
    results: Results of `evaluate`.
    metrics_file: metrics.jsonl of the run; without it the training curve is left out.

  Returns:
    'image' (a data URI) and 'text' of each figure.
  """
  summary, default = results.summary, results.summary['default']
  best = summary['scorers'][default]
  sample = results.samples[default]
  captioned = []

  def add(png, text):
    captioned.append({'image': data_uri(png), 'text': text})

  if summary['data']['diseased']:
    auprc = {k: v['pooled']['auprc']['value'] for k, v in summary['scorers'].items()}
    add(
      figures.precision_recall(results.samples, default, auprc),
      'Precision and recall of all test voxels. The dashed line is chance, the share '
      'of lesion voxels in the brain.',
    )
  add(
    figures.scores(sample, best['thresholds']),
    f'Scores of {default}. Dotted: thresholds that 10, 5 and 1 % of the brain voxels '
    'of healthy validation scans reach.',
  )
  if summary['data']['diseased']:
    add(
      figures.by_volume(results.subjects, default),
      'Each scan with lesions: AUPRC over the volume of its lesions.',
    )
  if metrics_file and metrics_file.is_file():
    curve = figures.training(figures.training_records(metrics_file))
    if curve:
      add(curve, 'Training: every objective’s loss.')
  if len(best['by_pathology']) > 1:
    pathologies = {name: part['auprc'] for name, part in best['by_pathology'].items()}
    add(
      figures.groups(pathologies, f'AUPRC of {default}'),
      'By pathology, on the scans that have it. Prevalence differs between them and '
      'moves AUPRC, so compare maps within a row and not rows.',
    )
  return captioned


def render(
  results: Results, run: Mapping, title: str, metrics_file: Path | None
) -> str:
  """Renders report.html, the page with the results of an evaluation.

  Args:
    results: Results of `evaluate`.
    run: Entry 'run' of results.json: command, config, seed, versions.
    title: Heading of the page.
    metrics_file: metrics.jsonl of the run; without it the training curve is left out.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  # A true minus sign is as wide as the digits.
  environment.filters |= {
    'number': lambda value: tables.number(value).replace('-', '\u2212'),
    'bounds': lambda estimate: tables.bounds(estimate).replace('-', '\u2212'),
  }
  summary = results.summary
  best = summary['scorers'][summary['default']]
  table = tables.rows(summary)
  limits = figures.display_range(results.samples[summary['default']])
  shown = pictures.columns(results.cases)
  sections, uncertainty = {**summary, **best}, summary.get('uncertainty', {})
  return environment.get_template('report.html').render(
    title=title,
    summary=summary,
    best=best,
    run=run,
    cards=[
      (label, sections[section][metric])
      for section, metric, label in CARDS
      if sections[section].get(metric, {'value': None})['value'] is not None
    ],
    table=table,
    columns=tables.shown_columns(table),
    differences={
      name: scorer['minus_default']
      for name, scorer in summary['scorers'].items()
      if 'minus_default' in scorer
    },
    cases=[
      caption(c) | {'image': data_uri(pictures.strip(c, shown, limits))}
      for c in results.cases
    ],
    case_columns=[pictures.COLUMNS[name][0] for name in shown],
    plots=plots(results, metrics_file),
    at_threshold=AT_THRESHOLD,
    uncertainty=uncertainty,
    uncertainty_columns=reliability.shown_columns(uncertainty),
    reliability=data_uri(reliability.figure(uncertainty)) if uncertainty else '',
    restoration=facts(RESTORATION, summary['restoration']),
    registration=facts(REGISTRATION, summary['registration']),
  )
