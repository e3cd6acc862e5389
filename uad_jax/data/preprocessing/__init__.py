"""From a scan to the grid that is learned on, and back: no jax, no TFDS."""
