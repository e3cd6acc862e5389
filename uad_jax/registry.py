"""Functions that read and compare configs, and find the modules that configs name.

The modules are methods, scorers and adaptations, which change how a method trains or
infers.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import json
import pathlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from uad_jax.ops.choices import alternatives, check_choice
from uad_jax.ops.residual_sign import POLARITIES


def names(package: str) -> list[str]:
  """Lists the names of all methods, scorers or adaptations that a config can use.

  They are the names of the Python files in a subfolder of uad_jax.

  Args:
    package: Subfolder of uad_jax: 'methods', 'scores' or 'adapt'.
  """
  parent = importlib.import_module(f'uad_jax.{package}')
  modules = pkgutil.iter_modules(parent.__path__)
  return [m.name for m in modules if not m.ispkg and m.name != '__main__']


def named(package: str, name: str) -> Callable:
  """Returns the factory function of the method, scorer or adaptation `name`.

  The factory is called `make`. It is defined in the file of that name, such as
  uad_jax/methods/vae.py.

  Args:
    package: Subfolder of uad_jax: 'methods', 'scores' or 'adapt'.
    name: Name of the file, without '.py'.

  Raises:
    ValueError: The package has no such file.
  """
  if name not in (files := names(package)):
    known = alternatives(name, sorted(files))
    raise ValueError(f"no '{name}' in {package}; there are {known}")
  return importlib.import_module(f'uad_jax.{package}.{name}').make


def call(what: str, make: Callable, options: Mapping[str, Any], **fixed):
  """Calls the factory `make` with options from a config, after checking their names.

  The call is make(**fixed, **options).

  Args:
    what: Name of the made object for the error message, such as "method 'vae'".
    make: Function to call.
    options: Keyword arguments that the user has chosen in a config.
    **fixed: Keyword arguments that the program sets.

  Raises:
    ValueError: `make` takes no option of such a name.
  """
  parameters = inspect.signature(make).parameters
  takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
  for option in options:
    if not takes_any and option not in parameters:
      allowed = ', '.join(name for name in parameters if name not in fixed)
      raise ValueError(f"{what} takes no '{option}'; it takes {allowed}")
  return make(**fixed, **options)


BRIGHT = ('flair', 't2')
"""MRI contrasts on which lesions are brighter than healthy tissue."""


def polarity(data: Mapping[str, Any]) -> str:
  """Returns the polarity of the lesions in a data set: 'bright', 'dark' or 'both'.

  It is the value of `config.data.polarity`. If that is missing or 'auto', the polarity
  is 'bright' for the MRI contrasts in `BRIGHT`, and 'both' for all others.

  Args:
    data: The section `config.data` of a config.

  Raises:
    ValueError: `config.data.polarity` has another value.
  """
  value = data.get('polarity', 'auto')
  check_choice('polarity', value, ('auto', *POLARITIES), 'config.data')
  if value != 'auto':
    return value
  return 'bright' if data.get('contrast') in BRIGHT else 'both'


def takes(make: Callable, option: str) -> bool:
  """Returns whether the function `make` has a parameter with the name `option`."""
  return option in inspect.signature(make).parameters


def plain(config: Any) -> Any:
  """Converts a config to types that JSON can store: dicts, lists, numbers and text.

  The hash of a config must not change when the package gets new keys. So keys without a
  value (placeholders, None), an empty `config.medians` and a polarity 'both' are left
  out. A polarity 'auto' is replaced by the result of `polarity`.
  """
  settings = _set(json.loads(json.dumps(ConfigDict.to_dict(config), default=str)))
  data = settings.get('data')
  if isinstance(data, dict):
    resolved = polarity(data)
    data.pop('polarity', None)
    if resolved != 'both':
      data['polarity'] = resolved
  if not settings.get('medians', True):
    del settings['medians']
  return settings


def _set(settings: Any) -> Any:
  """Nested dicts without the keys whose value is None."""
  if not isinstance(settings, dict):
    return settings
  return {key: _set(value) for key, value in settings.items() if value is not None}


AFTER_TRAINING = (
  'scores', 'medians', 'variants', 'variant_scores', 'postprocess', 'resamples',
)  # fmt: skip
"""Keys of a config that do not change the training, only its evaluation."""


def digest(config: ConfigDict) -> str:
  """Returns a hash of the config keys that affect training, 12 hexadecimal digits.

  The keys in `AFTER_TRAINING` are left out. Run folders are named by this hash.
  """
  return hashed(without(plain(config), *AFTER_TRAINING))


def fingerprint(config: ConfigDict) -> str:
  """Returns a hash of a whole config, as 12 hexadecimal digits."""
  return hashed(plain(config))


def hashed(settings: Mapping[str, Any]) -> str:
  """Returns a hash of a dict that JSON can store, as 12 hexadecimal digits."""
  text = json.dumps(settings, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(
  old: Mapping[str, Any], new: Mapping[str, Any], missing: str, prefix: str = ''
) -> Iterator[tuple[str, Any, Any]]:
  """Yields (dotted key, old value, new value) for each key in which two configs differ.

  Args:
    old: Config in the form that `plain` returns.
    new: Another config in that form.
    missing: Text that stands for the value of a key that one config lacks.
    prefix: Text before the dotted keys; used for nested configs.
  """
  for key in sorted({*old, *new}):
    before, after = old.get(key, missing), new.get(key, missing)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
      yield from differences(before, after, missing, f'{prefix}{key}.')
    elif before != after:
      yield f'{prefix}{key}', before, after


def without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
  """Returns a copy of a dict of options without the keys that `names` lists."""
  return {name: value for name, value in options.items() if name not in names}


def assignments(text: str) -> dict[str, Any]:
  """Parses 'KEY=VALUE; KEY=VALUE' into a dict; values are Python literals.

  Raises:
    ValueError: A part is not of the form KEY=VALUE, or its value is no literal.
  """
  values = {}
  for part in filter(None, map(str.strip, text.split(';'))):
    key, _, value = part.partition('=')
    try:
      values[key.strip()] = ast.literal_eval(value.strip())
    except (SyntaxError, ValueError):
      raise ValueError(
        f"'{part}' is not understood; allowed is KEY=VALUE as Python writes it, with "
        "quotes about text: contrast='t2'"
      ) from None
  return values


def config_path(name: str) -> pathlib.Path:
  """Returns the path of a config, given a path or the name of a shipped config.

  Shipped configs lie beside the package in a checkout, and inside of it where it is
  installed.

  Args:
    name: Path that ends in .py, or NAME of a shipped configs/NAME.py.

  Raises:
    FileNotFoundError: No shipped config has this name.
  """
  if name.endswith('.py'):
    return pathlib.Path(name)
  package = pathlib.Path(__file__).resolve().parent
  installed = package / 'configs'
  folder = installed if installed.is_dir() else package.parent / 'configs'
  shipped = {path.stem: path for path in folder.glob('*.py')}
  if name not in shipped:
    raise FileNotFoundError(
      f"there is no config '{name}'; there are {', '.join(sorted(shipped))}"
    )
  return shipped[name]


def read_config(path: pathlib.Path, arg: str) -> ConfigDict:
  """Loads a Python config file and returns the config that its `get_config` makes.

  Args:
    path: Config file, such as configs/vae.py.
    arg: Argument of its `get_config`, such as 'demo'.

  Raises:
    FileNotFoundError: The file is missing.
  """
  spec = importlib.util.spec_from_file_location(f'config_{path.stem}', path)
  if spec is None or not path.exists():
    raise FileNotFoundError(f'the config {path} does not exist')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(arg)
