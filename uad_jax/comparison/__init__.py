"""Tables and pictures over several runs: docs/results.md and what it is made from."""
