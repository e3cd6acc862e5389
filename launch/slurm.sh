#!/usr/bin/env bash
#SBATCH --job-name=uad_jax
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
# One process a node; sbatch --nodes=2 --gpus-per-node=8 launch/slurm.sh [flags]
set -euo pipefail
cd "${SLURM_SUBMIT_DIR}"
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
export UAD_COORDINATOR="$(head -n1 <<<"$nodes"):12355" UAD_HOSTS="$SLURM_NNODES"
# SIGTERM, two minutes before the end, saves the state; the same command goes on.
srun bash -c 'UAD_HOST=$SLURM_NODEID exec .venv/bin/python -m uad_jax.main \
  --config=configs/dae_unc.py --workdir=runs/dae_unc "$@"' uad_jax "$@"
