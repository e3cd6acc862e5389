#!/usr/bin/env bash
# The main job on this machine: launch/local.sh [flags of uad_jax.main]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install "${UAD_EXTRAS:-}"
exec .venv/bin/python -m uad_jax.main --config=configs/dae_unc.py \
  --workdir=runs/dae_unc "$@"
