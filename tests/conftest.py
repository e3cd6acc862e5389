import functools
import hashlib
import importlib.metadata
import itertools
import os
import pathlib
import signal

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
flags = ['--xla_force_host_platform_device_count=4']
known_jax = importlib.metadata.version('jaxlib').startswith('0.10.')
if known_jax:
  # Compiles in half of the time; later releases stop at a flag they do not know.
  flags.append('--xla_cpu_use_fusion_emitters=false')
  flags.append('--xla_cpu_parallel_codegen_split_count=1')
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *flags])
os.environ.setdefault('MPLBACKEND', 'Agg')
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  # A job in the background ignores Ctrl-C; the commands that tests interrupt must not.
  signal.signal(signal.SIGINT, signal.default_int_handler)

import uad_jax  # noqa: E402, F401, isort: skip  # before numpy, whose kernels it chooses

import jax  # noqa: E402
import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / 'shared' / 'data'

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_disable_most_optimizations', True)
jax.config.update('jax_traceback_in_locations_limit', 0)
jax.config.update('jax_compilation_cache_dir', str(ROOT / '.cache' / 'jax'))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def share_contexts(compilations: int):
  """Lets so many compilations share one MLIR context.

  jax makes a context for each, which is a fifth of the time of this suite: it compiles
  some forty thousand functions, most of them of one operation.
  """
  from jax._src.interpreters import mlir

  count, make = itertools.count(), mlir.make_ir_context
  context = functools.lru_cache(maxsize=1)(lambda _: make())
  mlir.make_ir_context = lambda: context(next(count) // compilations)


if known_jax:
  share_contexts(100)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
  """Tests that share compiled functions or fixtures stay in one process.

  In the tables over methods those of a method, and all those of the small finished
  run; elsewhere those of a file.
  """
  for item in items:
    given = item.callspec.params if hasattr(item, 'callspec') else {}
    about = (
      given.get('method', given.get('name')) if 'ROWS' in vars(item.module) else ''
    )
    shared = f'the table: {about}' if about else item.module.__name__
    if 'small_run' in item.fixturenames:
      shared = 'the small run'
    item.add_marker(pytest.mark.xdist_group(shared))


def seed_of(name: str) -> int:
  return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


@pytest.fixture
def key(request):
  """A key of its own for each test, the same in each run and without xdist's group."""
  return jax.random.key(seed_of(request.node.nodeid.partition('@')[0]))


@pytest.fixture(scope='session')
def small_run(tmp_path_factory):
  """A folder of heads, and a finished run on it, see `tests.small_run.world`."""
  from tests.small_run import make

  return make(tmp_path_factory.mktemp('job'))


@pytest.fixture
def in_the_project(monkeypatch):
  """Configs are read from the folder where commands are run."""
  monkeypatch.chdir(ROOT)


@pytest.fixture
def real_data():
  """The folder of real scans that lies beside the project in development."""
  if not SHARED_DATA.is_dir():
    pytest.skip('the real scans (../shared/data) are not on this machine')
  return SHARED_DATA


@pytest.fixture
def optimised():
  """The suite compiles without optimisation; what is timed or long must not."""
  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', True)
