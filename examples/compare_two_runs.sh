#!/usr/bin/env bash
# Trains two short runs of the demo that differ in one thing, the learning rate, and opens the page that compares them.
#
#     examples/compare_two_runs.sh                        # 140 steps each: about four minutes on two cores
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
STEPS=${STEPS:-140}
OUT=${OUT:-outputs/examples}
read -ra flags <<<"${FLAGS:-}" # more flags for both runs

for rate in 2e-3 2e-4; do
    "$PYTHON" train_v2_ddp.py --demo composed --output_dir "$OUT" --logging_dir "$OUT/runs" --run_name "rate-$rate" \
        --learning_rate "$rate" --max_steps "$STEPS" --enable_strategic_logging --strategic_logging_steps 35 \
        --voice_steps 70 "${flags[@]}"
done

"$PYTHON" -m tracker_logging.cli compare "$OUT/runs/rate-2e-3" "$OUT/runs/rate-2e-4" -o "$OUT/compare.html"

if [[ -t 1 ]]; then # an interactive terminal
    "$PYTHON" -m webbrowser -t "file://$(realpath "$OUT/compare.html")"
fi
