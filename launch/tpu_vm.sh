#!/usr/bin/env bash
# The main job on every worker of a Cloud TPU VM slice:
# TPU=name ZONE=zone launch/tpu_vm.sh --workdir=gs://bucket/run [flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${TPU:?set TPU to the name of the slice}" "${ZONE:?set ZONE to its zone}"
folder=$(mktemp -d)
tar --exclude=.venv --exclude=.git --exclude=runs --exclude=data \
  -czf "$folder/uad_jax.tgz" .
gcloud compute tpus tpu-vm scp "$folder/uad_jax.tgz" "$TPU": --zone="$ZONE" --worker=all
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
  mkdir -p uad_jax && tar -xzf uad_jax.tgz -C uad_jax && cd uad_jax &&
  UAD_POD=1 UAD_EXTRAS=tpu launch/local.sh $(printf '%q ' "$@")"
