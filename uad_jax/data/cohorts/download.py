"""Fetching the archives that a licence allows to fetch, checked by their MD5."""

import hashlib
import os
import pathlib
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence

from tqdm import tqdm

from uad_jax.data.cohorts.cohort import Cohort, Download
from uad_jax.data.preprocessing.nifti import BadScan

CHUNK = 2**20


def folder(data_dir: str | os.PathLike, name: str) -> pathlib.Path:
  """Where the files of a cohort that were fetched lie."""
  return pathlib.Path(data_dir) / 'downloads' / name


def wanted(cohort: Cohort, contrast: str) -> Sequence[Download]:
  """The archives of a contrast."""
  found = [d for c, d in cohort.downloads.items() if c in ('', contrast)]
  if not found:
    raise ValueError(
      f"'{cohort.name}' cannot be fetched by a program; `python -m uad_jax.prepare "
      f'list {cohort.name}` tells how to get it'
    )
  return found


def fetch(cohort: Cohort, contrast: str, data_dir: str | os.PathLike) -> pathlib.Path:
  """Downloads and unpacks a contrast unless it is there; the folder.

  An archive is unpacked beside and renamed, so that a folder is there whole or not.
  """
  target = folder(data_dir, cohort.name)
  for each in wanted(cohort, contrast):
    unpacked = target / pathlib.Path(each.url).name.split('.')[0]
    if unpacked.is_dir():
      continue
    target.mkdir(parents=True, exist_ok=True)
    archive = target / f'{pathlib.Path(each.url).name}.partial'
    _download(each, archive)
    partial = target / f'.{unpacked.name}.partial'
    shutil.rmtree(partial, ignore_errors=True)
    _unpack(archive, partial)
    partial.rename(unpacked)
    archive.unlink()
  return target


def _download(each: Download, path: pathlib.Path) -> None:
  """Fetches a file, going on where an earlier try stopped, and checks it."""
  at = path.stat().st_size if path.exists() else 0
  request = urllib.request.Request(each.url, headers={'Range': f'bytes={at}-'})
  try:
    with urllib.request.urlopen(request if at else each.url, timeout=60) as reply:
      mode = 'ab' if getattr(reply, 'status', 200) == 206 else 'wb'
      total = int(reply.headers.get('Content-Length') or 0) or None
      with (
        path.open(mode) as file,
        tqdm(
          total=total, unit='B', unit_scale=True, desc=path.stem, disable=None
        ) as bar,
      ):
        while chunk := reply.read(CHUNK):
          file.write(chunk)
          bar.update(len(chunk))
  except urllib.error.HTTPError as error:
    if error.code != 416:  # asked for what is beyond its end: it is complete
      raise OSError(f'{each.url} cannot be fetched: {error}') from error
  except urllib.error.URLError as error:
    raise OSError(f'{each.url} cannot be fetched: {error.reason}') from error
  with path.open('rb') as file:
    md5 = hashlib.file_digest(file, 'md5').hexdigest()
  if md5 != each.md5:
    path.unlink()
    raise BadScan(
      f'{each.url} has the MD5 {md5}, and {each.md5} is expected; it was removed'
    )


def _unpack(archive: pathlib.Path, into: pathlib.Path) -> None:
  try:
    if zipfile.is_zipfile(archive):
      with zipfile.ZipFile(archive) as file:
        file.extractall(into)
    else:
      with tarfile.open(archive) as file:
        file.extractall(into, filter='data')
  except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
    raise BadScan(f'{archive} is no archive that can be unpacked: {error}') from error
