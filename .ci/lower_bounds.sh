#!/usr/bin/env bash
# Runs what must hold with the oldest dependencies that pyproject.toml allows, in an environment of its own (build/lower).
# Not part of .ci/run: building the environment takes about five minutes and the tests another five.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3.11}
HOME_OF_IT=build/lower
export OMP_NUM_THREADS=1

if [[ ! -e $HOME_OF_IT/.ready || .ci/lower_bounds.txt -nt $HOME_OF_IT/.ready ]]; then
    rm -rf "$HOME_OF_IT"
    "$PYTHON" -m venv "$HOME_OF_IT"
    pip=("$HOME_OF_IT/bin/python" -m pip install --quiet --constraint .ci/lower_bounds.txt)
    "${pip[@]}" torch
    "${pip[@]}" setuptools --editable ".[voice,wandb,peft]" pytest pytest-timeout pytest-xdist hypothesis
    touch "$HOME_OF_IT/.ready"
fi

"$HOME_OF_IT/bin/python" -m pytest -p no:cacheprovider "$@" \
    tests/metrics tests/trackers tests/families tests/probes/test_attention_probe.py tests/probes/test_flow_probe.py \
    tests/probes/test_invisible_training.py tests/end_to_end/test_validate.py tests/end_to_end/test_resume.py
