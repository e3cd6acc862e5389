"""From the names and options in a config to functions, and its hash."""

import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict


def names(package: str) -> list[str]:
  """The registered names of a package: its files, not its subfolders, in order."""
  parent = importlib.import_module(f'uad_jax.{package}')
  return [m.name for m in pkgutil.iter_modules(parent.__path__) if not m.ispkg]


def named(package: str, name: str) -> Callable:
  """The `make` of a file of a package, or one sentence with the files there are."""
  if name not in (files := names(package)):
    raise ValueError(f"no '{name}' in {package}; there are {', '.join(sorted(files))}")
  return importlib.import_module(f'uad_jax.{package}.{name}').make


def call(what: str, make: Callable, options: Mapping[str, Any], **given):
  """make(**given, **options), with one sentence for an option that it does not take."""
  parameters = inspect.signature(make).parameters
  free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
  for option in options:
    if not free and option not in parameters:
      allowed = ', '.join(name for name in parameters if name not in given)
      raise ValueError(f"{what} takes no '{option}'; it takes {allowed}")
  return make(**given, **options)


def plain(config: Any) -> Any:
  """A config as dicts, lists, numbers and text."""
  return json.loads(json.dumps(ConfigDict.to_dict(config), default=str))


AFTER_TRAINING = ('scores', 'variants', 'variant_scores', 'postprocess', 'resamples')
"""Keys of a config that only ask a trained run for other rows."""


def digest(config: ConfigDict) -> str:
  """A short hash of what a config trains, by which results are kept."""
  return hashed(without(plain(config), *AFTER_TRAINING))


def fingerprint(config: ConfigDict) -> str:
  """A short hash of all that a config says."""
  return hashed(plain(config))


def hashed(told: Mapping[str, Any]) -> str:
  """A short hash of a config as `plain` gives it."""
  text = json.dumps(told, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(
  old: Mapping[str, Any], new: Mapping[str, Any], missing: str, prefix: str = ''
) -> Iterator[tuple[str, Any, Any]]:
  """The dotted path and both values of each key in which two configs differ.

  Args:
    old: As `plain` gives it.
    new: Likewise.
    missing: Stands for a value of a key that only the other one has.
    prefix: Of the paths.
  """
  for key in sorted({*old, *new}):
    a, b = old.get(key, missing), new.get(key, missing)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
      yield from differences(a, b, missing, f'{prefix}{key}.')
    elif a != b:
      yield f'{prefix}{key}', a, b


def without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
  """The options as a dict, without those named."""
  return {name: value for name, value in options.items() if name not in names}
