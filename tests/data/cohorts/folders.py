"""Makes files in folders for tests of the search."""


def touch(root, *names):
  """Writes files that hold their own names."""
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())
