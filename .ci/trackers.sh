#!/usr/bin/env bash
# Tests of the backends MLflow, SwanLab and Trackio, in an environment of their own over the packages of .venv: SwanLab
# and Trackio need an older protobuf and pillow than the rest.
#
#   .ci/trackers.sh [environment]        default: .venv-trackers
#
# Packages that cannot be installed are a message and no failure; a failing test is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
ENVIRONMENT="${1:-.venv-trackers}"
READY="$ENVIRONMENT/.ready"
PACKAGES=(mlflow-skinny==3.17.2 swanlab==0.10.3 trackio==0.43.0)

install() {
    .venv/bin/python -m venv "$ENVIRONMENT" &&
        .venv/bin/python -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")), sep="\n")' \
            > "$("$ENVIRONMENT/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth" &&
        "$ENVIRONMENT/bin/python" -m pip install --quiet --no-compile "${PACKAGES[@]}" 'protobuf<7' 'pillow<13' &&
        "$ENVIRONMENT/bin/python" -m pip install --quiet --no-deps --editable .
}

if [ ! -e "$READY" ] || [ .ci/trackers.sh -nt "$READY" ]; then
    if ! install; then
        echo "MLflow, SwanLab and Trackio could not be installed: their backends are not tested here. All else is."
        exit 0
    fi
    touch "$READY"
fi
"$ENVIRONMENT/bin/python" -m pytest -p no:cacheprovider -rs tests/trackers/test_{mlflow,swanlab,trackio}.py
