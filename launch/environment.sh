# Sourced by the other scripts: makes .venv when it is absent and installs into it.
# UAD_PYTHON names the interpreter, UAD_EXTRAS the extras (cuda, tpu, tensorboard).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

find_python() {
  for candidate in ${UAD_PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "uad_jax needs Python 3.11 or newer; set UAD_PYTHON to one." >&2
  return 1
}

# install EXTRAS: once for each state of setup.py, requirements.txt and the extras.
install() {
  local extras="$1" python stamp mark
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python) || exit 1
    "$python" -m venv .venv || exit 1
  fi
  mark=$(cat setup.py requirements.txt; echo "$extras")
  stamp=".venv/installed-${extras:-none}"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$mark" ]; then
    echo "installing into .venv" >&2
    .venv/bin/python -m pip install --quiet --upgrade pip &&
      .venv/bin/python -m pip install --quiet -c requirements.txt \
        -e ".${extras:+[$extras]}" || exit 1
    echo "$mark" >"$stamp"
  fi
}
