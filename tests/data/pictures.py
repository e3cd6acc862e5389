"""Small 2-D images on disk: brains of ellipses, with and without a bright lesion."""

import json

import numpy as np
from PIL import Image


def brain(seed, size=(40, 48), lesion=False):
  """A picture [rows, columns] uint8 of an ellipse, and its lesion mask."""
  rng = np.random.default_rng(seed)
  rows, columns = size
  y, x = np.mgrid[:rows, :columns]
  inside = ((y - rows / 2) / (0.4 * rows)) ** 2 + (
    (x - columns / 2) / (0.4 * columns)
  ) ** 2 < 1
  image = np.where(inside, 90 + 10 * rng.standard_normal(size), 0)
  spot = (abs(y - rows / 2 + 5) < 4) & (abs(x - columns / 2) < 3) & lesion
  image = np.where(spot, 200, image)
  return image.clip(0, 255).astype(np.uint8), (255 * spot).astype(np.uint8)


def write(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.npy':
    np.save(path, pixels)
  else:
    Image.fromarray(pixels).save(path)
  return path


def healthy(folder, names, first=0, suffix='.png'):
  for number, name in enumerate(names):
    write(folder / f'{name}{suffix}', brain(first + number)[0])


def ill(folder, masks, names, first=0, ending='_mask', suffix='.png'):
  for number, name in enumerate(names):
    image, mask = brain(first + number, lesion=True)
    write(folder / f'{name}{suffix}', image)
    write(masks / f'{name}{ending}.png', mask)


def mvtec(root):
  """Tree of MVTec AD: no validation images, one folder of masks for each kind."""
  healthy(root / 'train/good', ['000', '001', '002', '003'])
  healthy(root / 'test/good', ['000'], 10)
  ill(root / 'test/spot', root / 'ground_truth/spot', ['000', '001'], 20)


def mvtec2(root):
  """Tree of MVTec AD 2: validation/good, and the masks inside of test_public."""
  healthy(root / 'train/good', ['000_regular', '001_regular'])
  healthy(root / 'validation/good', ['000_regular'], 5)
  healthy(root / 'test_public/good', ['000_regular'], 10)
  masks = root / 'test_public/ground_truth/bad'
  ill(root / 'test_public/bad', masks, ['000_regular'], 20)


def stroke(root):
  """Tree of stroke_flair_2d: ground_truth/SPLIT/KIND and a table of subjects."""
  healthy(root / 'train/good', ['sub-1', 'sub-2'])
  healthy(root / 'validation/good', ['sub-3'], 5)
  for split, names, first in (
    ('validation', ['sub-4'], 20),
    ('test', ['sub-6', 'sub-7'], 30),
  ):
    masks = root / 'ground_truth' / split / 'stroke'
    ill(root / split / 'stroke', masks, names, first)
  healthy(root / 'test/good', ['sub-5'], 10)
  rows = ['participant_id\tsplit\tage\tsex'] + [
    f'sub-{n}\t{split}\t{50 + n}\tF'
    for n, split in enumerate(
      ('train', 'train', 'validation', 'validation', 'test', 'test', 'test'), 1
    )
  ]
  (root / 'participants.tsv').write_text('\n'.join(rows) + '\n')


def bmad(root):
  """Tree of BMAD: folders img and label below good and Ungood."""
  healthy(root / 'train/good', ['a_60', 'a_61'])
  healthy(root / 'valid/good/img', ['b_60'], 5)
  healthy(root / 'test/good/img', ['c_60'], 10)
  write(root / 'test/good/label/c_60.png', np.zeros((40, 48), np.uint8))
  for split, name, first in (('valid', 'd_60', 20), ('test', 'e_60', 30)):
    folder = root / split / 'Ungood'
    ill(folder / 'img', folder / 'label', [name], first, ending='')


def medianomaly(root):
  """Tree of the BraTS2021 slices of MedIAnomaly: train, test/KIND, test/annotation."""
  healthy(root / 'train', ['a', 'b', 'c'])
  healthy(root / 'test/normal', ['d'], 10)
  ill(root / 'test/tumor', root / 'test/annotation', ['e'], 20, ending='')


TREES = {f.__name__: f for f in (mvtec, mvtec2, stroke, bmad, medianomaly)}


def spacing(path, value):
  """Writes the sidecar that states the pixel size of a picture."""
  path.with_suffix('.json').write_text(json.dumps({'spacing_mm': value}))
