"""Text of the part of docs/datasets.md on training with a user's own image folders."""

SECTION = """## A folder of your own

`--config=configs/dae_unc.py:folder --config.data.source=DIR` reads a BIDS folder, or
another one by `--config.data.layout=flat` and glob patterns
(`--config.data.patterns.image`, `mask`, `labels`, `lesion`), in which `**` stands for
any number of folders. A lesion file that holds several labels needs
`--config.data.patterns.lesion_values='(1,4)'`, the numbers that mean lesion. Linked
folders are searched too, each image is read once, and files and folders whose names
begin with a dot are not read. The number of subjects and scans, and all that was left
out, are printed before a scan is prepared.

`participants.tsv` of a BIDS folder may name `age`, `sex`, `site`, `scanner`,
`diagnosis`, `pathology`, `domain` and `split` of each `participant_id` (with or without
`sub-`) and, optionally, `session_id`. Columns are separated by tabs; `n/a` is a missing
value; ages may be such as 89+, 030Y or 20-25. Splits are named for all scans or none;
`Train` and `training` are read as `train`, and so are the other usual names. A table
that names no subject of the folder is an error. In a flat folder a `participant_id` is
the subject of a file, as below; or a column `filename` or `image` names the files.

The subject of a file in a flat folder is its name up to the first dot or underscore
(`P01_T1.nii.gz` is of P01), or its whole name, with its folders, where several images
share that (`siteA_0.nii`, `siteA_1.nii`; `P01/T1.nii`, `P02/T1.nii`). A line tells so.
Where several images are of one person, name the person, and the session if there are
several, by regular expressions; else the person may be in training and in test at once:

```
--config.data.layout=flat --config.data.patterns.image='*.nii.gz' \\
--config.data.patterns.subject='^(P[0-9]+)_' --config.data.patterns.session='_(v[0-9]+)'
```

They are applied to the path below DIR; the groups, joined by `-`, are the name. So
`P01_v1.nii.gz` and `P01_v2.nii.gz` are two sessions of P01, in one split.

## A folder of 2-D images

`--config=configs/dae_unc.py:images --config.data.source=DIR` reads PNG, JPEG, TIFF, BMP
and NPY files, of 8 or 16 bit or float, grey or (`--config.data.job.channel=0`) one
channel of colours, in one of these trees:

```
MVTec AD     train/good  test/KIND  ground_truth/KIND/NAME_mask.png
MVTec AD 2   train/good  validation/good  test_public/KIND
             test_public/ground_truth/KIND/NAME_mask.png,
             or ground_truth/SPLIT/KIND/NAME_mask.png
BMAD         train/good  valid/Ungood/img  valid/Ungood/label/NAME.png
MedIAnomaly  train  test/normal  test/tumor  test/annotation/NAME.png
```

Other folders are described by globs: `--config.data.layout=patterns` with
`--config.data.patterns.train`, `val`, `test`, `healthy` (which of those are healthy),
and `lesion='masks/{name}_seg.png'`, the path of an image's lesion mask. Without healthy
validation images a tenth of the training subjects is set aside. `patterns.subject` is a
regular expression for the subject, where several slices are of one; a picture that lies
in two splits is refused. `patterns.mask='brain/{name}.png'` names brain masks; without
it the mask is what differs from the colour of the frame, or the whole picture.

The argument `images` scales each picture to 128 x 128. With
`--config.data.job.spacing=1.5` pictures are resampled to 1.5 mm and cut to the shape;
the pixel size is that of `--config.data.job.pixel_mm`, else `spacing_mm` in the file
NAME.json beside the picture, else that of the header, else 1 mm.

`stroke_flair` (128 x 128 at 1.5 mm), `stroke_flair96` (2 mm) and `stroke_flair64`
(3 mm) read FLAIR slices of stroke patients with experts' masks (Absher et al.,
Scientific Data 11:839, 2024; OpenNeuro ds004889) from `data/stroke_flair_2d` or
`--config.data.source=DIR`; lesions are bright there (`--config.data.polarity`).
"""
"""Markdown text: how scans, subjects, sessions and pictures are found."""
