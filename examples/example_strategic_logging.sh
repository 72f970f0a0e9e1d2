#!/usr/bin/env bash
# Four ways to train with strategic logging, on the demo. For your own model put these in the place of --demo:
#   --model_path MODEL --audio_tokenizer_path CODEC --train_data_file train.json
#
#     examples/example_strategic_logging.sh               # 40 steps each; STEPS=420 is the whole demo
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
STEPS=${STEPS:-40}
OUT=${OUT:-outputs/examples}
read -ra flags <<<"${FLAGS:-}" # more flags for every run, such as FLAGS="--bf16 --gradient_checkpointing"
export WANDB_MODE=${WANDB_MODE:-offline} # no account is needed; WANDB_MODE=online sends runs to the server

# The runs share one directory, so that one TensorBoard shows them side by side.
demo=(train_v2_ddp.py --demo composed --output_dir "$OUT" --logging_dir "$OUT/runs" --max_steps "$STEPS" --save_steps "$STEPS")
demo+=(--enable_strategic_logging --strategic_logging_steps 10 --voice_max_clips 6 "${flags[@]}")

echo "1. One process, on the GPU if there is one"
"$PYTHON" "${demo[@]}" --run_name single

echo "2. The same run, resumed from its checkpoint: its curves continue"
"$PYTHON" "${demo[@]}" --run_name single --max_steps $((STEPS + STEPS / 2)) \
    --resume_from_checkpoint "$OUT/checkpoint-$STEPS"

echo "3. LoRA, to Weights & Biases and TensorBoard"
"$PYTHON" "${demo[@]}" --run_name lora --use_lora --report_to both

echo "4. Two processes (on as many GPUs, or on the CPU): still one run"
"$PYTHON" -m torch.distributed.run --standalone --nproc_per_node 2 "${demo[@]}" --run_name two-processes

echo "View all:  .venv/bin/tensorboard --logdir $OUT/runs"
