#!/usr/bin/env bash
# Tests of the `boson_multimodal` adapter, in an environment of their own over the packages of .venv: it pins another
# transformers than we declare.
#
#   .ci/boson.sh [environment]        default: .venv-boson
#
# Packages that cannot be installed are a message and no failure; a failing test is a failure. The codec needs
# torchaudio, descript-audiotools and dac, for which there is no build beside this torch: its test is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=.venv/bin
ENVIRONMENT="${1:-${BOSON_ENV:-.venv-boson}}"
READY="$ENVIRONMENT/.ready"

# Without their dependencies: .venv has the rest that the model, its collator and the Trainer import.
PINNED=(transformers==4.46.3 tokenizers==0.20.3 huggingface_hub==0.36.2 accelerate==1.1.1 peft==0.13.2
    boson_multimodal==0.1.1 dacite loguru pydub json_repair)

install() {
    local pip=("$ENVIRONMENT/bin/python" -m pip install --quiet --no-compile --no-deps)
    "$BIN/python" -m venv "$ENVIRONMENT" &&
        "$BIN/python" -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")), sep="\n")' \
            > "$("$ENVIRONMENT/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth" &&
        "${pip[@]}" "${PINNED[@]}" &&
        "${pip[@]}" --editable .  # the dashboards are a package by the mapping in setup.py only
}

if [ ! -e "$READY" ] || [ .ci/boson.sh -nt "$READY" ]; then
    if ! install; then
        echo "boson_multimodal could not be installed: its adapter is not tested here. All else is."
        exit 0
    fi
    touch "$READY"
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# The native class, on the transformers that we declare, writes what the other one must find.
"$BIN/python" tests/boson/native_side.py "$scratch/parity.pt"
BOSON_PARITY="$scratch/parity.pt" "$ENVIRONMENT/bin/python" -m pytest -p no:cacheprovider -rs tests/boson
