#!/usr/bin/env bash
# Two processes on this machine train as two hosts of a pod would:
# launch/multihost_local.sh [flags of uad_jax.main]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install "${UAD_EXTRAS:-}"
export UAD_COORDINATOR="127.0.0.1:${UAD_PORT:-12355}" UAD_HOSTS="${UAD_HOSTS:-2}"
export JAX_PLATFORMS=cpu
pids=()
for host in $(seq 0 $((UAD_HOSTS - 1))); do
  UAD_HOST=$host .venv/bin/python -m uad_jax.main --config=configs/dae_unc.py \
    --workdir=runs/multihost "$@" &
  pids+=($!)
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
exit $status
