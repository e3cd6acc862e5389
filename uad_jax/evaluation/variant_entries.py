"""Function that checks that a method reads the batch entries that variants add."""

from collections.abc import Iterator, Mapping

import jax

from uad_jax.method import Array, Batch, Key, Method, Params, Stats


@jax.tree_util.register_pytree_node_class
class RecordedBatch(Mapping):
  """Batch that records the names of the entries that are looked up.

  An entry that is not there is recorded too. Where the whole batch is copied, or passed
  to a transformed function such as `jax.jit`, all its entries count as read.

  Attributes:
    entries: Arrays by name.
    names: Recorded names.
  """

  def __init__(self, entries: Mapping[str, Array]):
    self.entries = entries
    self.names: set[str] = set()

  def __getitem__(self, name: str) -> Array:
    self.names.add(name)
    return self.entries[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self.entries)

  def __len__(self) -> int:
    return len(self.entries)

  def __or__(self, other: Mapping[str, Array]) -> dict[str, Array]:
    return {**self, **other}

  def __ror__(self, other: Mapping[str, Array]) -> dict[str, Array]:
    return {**other, **self}

  def tree_flatten(self) -> tuple[tuple[Array, ...], tuple[str, ...]]:
    """Returns the arrays and their names, for JAX."""
    return tuple(self.values()), tuple(self)

  @classmethod
  def tree_unflatten(cls, names, arrays) -> dict[str, Array]:
    """Returns the entries as a dict, for JAX."""
    return dict(zip(names, arrays, strict=True))


def check(
  method: Method,
  params: Params,
  stats: Stats,
  batch: Batch,
  key: Key,
  variants: Mapping[str, Mapping[str, float]],
) -> None:
  """Checks that the inference of a method reads every entry that variants add.

  The inference is traced with array shapes alone, so nothing is computed. Entries that
  a variant replaces, such as 'position', are not checked: not every method reads them.

  Args:
    method: Method of the variants.
    params: Shapes of its parameters.
    stats: Shapes of its statistics.
    batch: Shapes of the entries that every batch has.
    key: Random key.
    variants: Entries by name of the variant.

  Raises:
    ValueError: An entry is not read; the message names it and those that are.
  """
  traced: dict[frozenset[str], set[str]] = {}
  for variant, entries in variants.items():
    added = frozenset(entries) - frozenset(batch)
    if added and added not in traced:
      traced[added] = _names_read(method, params, stats, batch, key, added)
    for name in sorted(added - traced.get(added, set())):
      allowed = ''.join(f'{other}, ' for other in sorted(traced[added] - set(batch)))
      raise ValueError(
        f"config.variants.{variant} has '{name}', which the inference of this method "
        f'does not read; allowed are {allowed}the entries of every batch: '
        f'{", ".join(batch)}'
      )


def _names_read(method, params, stats, batch, key, added) -> set[str]:
  """Names of the entries that the inference reads from a batch with entries added."""
  names: set[str] = set()

  def infer(params, stats, batch, key):
    recorded = RecordedBatch(batch)
    outputs = method.infer(params, stats, recorded, key)
    names.update(recorded.names)
    return outputs

  numbers = dict.fromkeys(added, batch['weight'])  # of the same shape: one an example
  jax.eval_shape(infer, params, stats, {**batch, **numbers}, key)
  return names
