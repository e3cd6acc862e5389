"""Error for a scan that cannot be used."""


class BadScan(ValueError):
  """Error raised for a scan that cannot be used; its message names the file."""
