"""Functions that download and unpack the archives of freely available data sets."""

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
"""Bytes that are read at once."""


def folder(data_dir: str | os.PathLike, name: str) -> pathlib.Path:
  """Returns the path of the folder to which the files of a cohort are downloaded."""
  return pathlib.Path(data_dir) / 'downloads' / name


def archives_of(cohort: Cohort, contrast: str) -> Sequence[Download]:
  """Returns the archives to download for one MRI contrast of a cohort.

  Raises:
    ValueError: The cohort has no archive of this contrast that a program can download.
  """
  archives = [d for c, d in cohort.downloads.items() if c in ('', contrast)]
  if not archives:
    raise ValueError(
      f"'{cohort.name}' cannot be fetched by a program; `python -m uad_jax.prepare "
      f'list {cohort.name}` tells how to get it'
    )
  return archives


def fetch(cohort: Cohort, contrast: str, data_dir: str | os.PathLike) -> pathlib.Path:
  """Downloads and unpacks the missing archives of one MRI contrast of a cohort.

  Each archive is unpacked to a temporary folder, which is then renamed, so that an
  interrupted download leaves no incomplete folder.

  Args:
    cohort: The cohort.
    contrast: One of its contrasts.
    data_dir: Folder of the data sets.

  Returns:
    Folder of the unpacked archives: 'downloads/NAME' in `data_dir`.

  Raises:
    ValueError: The cohort has no archive of this contrast.
    OSError: An archive cannot be downloaded.
    BadScan: An archive has another MD5, or cannot be unpacked.
  """
  target = folder(data_dir, cohort.name)
  for download in archives_of(cohort, contrast):
    unpacked = target / pathlib.Path(download.url).name.split('.')[0]
    if unpacked.is_dir():
      continue
    target.mkdir(parents=True, exist_ok=True)
    archive = target / f'{pathlib.Path(download.url).name}.partial'
    _download(download, archive)
    partial = target / f'.{unpacked.name}.partial'
    shutil.rmtree(partial, ignore_errors=True)
    _unpack(archive, partial)
    partial.rename(unpacked)
    archive.unlink()
  return target


def _download(source: Download, path: pathlib.Path) -> None:
  """Downloads a file, resumes an interrupted download, and checks the MD5."""
  start = path.stat().st_size if path.exists() else 0
  request = urllib.request.Request(source.url, headers={'Range': f'bytes={start}-'})
  try:
    with urllib.request.urlopen(request if start else source.url, timeout=60) as reply:
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
    if error.code != 416:  # 416: the range starts at the end, so the file is complete
      raise OSError(f'{source.url} cannot be fetched: {error}') from error
  except urllib.error.URLError as error:
    raise OSError(f'{source.url} cannot be fetched: {error.reason}') from error
  with path.open('rb') as file:
    md5 = hashlib.file_digest(file, 'md5').hexdigest()
  if md5 != source.md5:
    path.unlink()
    raise BadScan(
      f'{source.url} has the MD5 {md5}, and {source.md5} is expected; it was removed'
    )


def _unpack(archive: pathlib.Path, into: pathlib.Path) -> None:
  """Unpacks a zip or tar archive into a folder."""
  try:
    if zipfile.is_zipfile(archive):
      with zipfile.ZipFile(archive) as file:
        file.extractall(into)
    else:
      with tarfile.open(archive) as file:
        _extract(file, into)
  except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
    raise BadScan(f'{archive} is no archive that can be unpacked: {error}') from error


def _extract(archive: tarfile.TarFile, into: pathlib.Path) -> None:
  """Unpacks a tar archive; nothing is written outside of the folder.

  Python has the filter for this since 3.11.4.
  """
  if hasattr(tarfile, 'data_filter'):
    archive.extractall(into, filter='data')
    return
  for member in archive.getmembers():
    inside = (into / member.name).resolve().is_relative_to(into.resolve())
    if not inside or not (member.isfile() or member.isdir()):
      raise tarfile.TarError(f'{member.name} is no file or lies outside of the folder')
  archive.extractall(into)
