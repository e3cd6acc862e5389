"""The part of docs/datasets.md on the scans that the tables of results rest on."""

from uad_jax.report.tables import markdown

ROWS = (
  (
    'ixi_t1_2mm',
    'T1 of 60 healthy adults, 3 T (Hammersmith); split train 40, val 8, test 12; '
    'DLMUSE labels',
    'IXI, brain-development.org; at 2 mm with labels from CBICA/NiChart',
    'CC BY-SA 3.0; labels SBIA',
  ),
  (
    'ixi_t1_2mm_more',
    'T1 of 89 further adults, the same scanner, with labels',
    'the same',
    'the same',
  ),
  (
    'novosibirsk_t1_2mm',
    'T1 of 36 adults, another 3 T scanner, stripped; split few_shot 10, test 26',
    'OpenNeuro ds002748 (Bezmaternykh et al. 2021), resampled to 2 mm',
    'CC0',
  ),
  (
    'ucla_t1_2mm',
    'T1 of 7 healthy adults, a third scanner; split few_shot 3, test 4',
    'OpenfMRI ds000011 (Foerde et al. 2006), resampled to 2 mm',
    'PDDL',
  ),
  (
    'stroke_flair_2d',
    'one axial FLAIR slice (MNI z = 18 mm) of each of 550 stroke patients, with masks, '
    'in the folders of [2-D images](#a-folder-of-2-d-images)',
    'OpenNeuro ds004889 (Absher et al. 2024)',
    'CC0',
  ),
  (
    'ms_t1_flair',
    'T1, FLAIR and lesion masks of 2 patients with multiple sclerosis',
    'Lesjak et al. 2018 (open_ms_data); MSLesSeg (Guarnera et al. 2025)',
    'CC BY 4.0',
  ),
  (
    'stroke_masks_mni',
    '92 hand-drawn lesion masks in MNI space, which `prepare lesions` inserts',
    'OpenNeuro ds004889',
    'CC0',
  ),
)
"""Folder, scans, source and licence of each set."""

TABLE = markdown(
  ('folder', 'scans', 'source', 'licence'),
  [(f'`{folder}`', *rest) for folder, *rest in ROWS],
)

SECTION = f"""## Scans of the tables

The results in docs/ rest on openly licensed scans, which the repository does not hold.
The commands of README.md expect them, or links to them, in `data/`:

{TABLE}

Masks of strokes were drawn on diffusion images: an early infarct may not be visible on
FLAIR, and old infarcts and leukoaraiosis are not in the masks. Slices without a stroke
are of patients too.
"""
