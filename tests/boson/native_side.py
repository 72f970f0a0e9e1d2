"""Run by .ci/boson.sh with the transformers that we declare: the measurements of the native class for two batches.

python tests/boson/native_side.py FILE
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "probes"))

from measure import measure
from small_model import batch, sample, small_model

from tracker_logging.families import adapter_for
from tracker_logging.families.boson.weights import original_config, original_weights

BATCHES = {
    "two samples": batch(sample(5, 7, seed=1), sample(0, 3, seed=2), text_labels=True),
    "one sample": batch(sample(4, 6, seed=3), text_labels=True),
}


def main(file: Path) -> None:
    cases = {}
    for name, inputs in BATCHES.items():
        model = small_model(text_head=True)
        weights = {key: weight.clone() for key, weight in original_weights(model.state_dict()).items()}
        nll = adapter_for(model.eval()).audio_nll(inputs)
        cases[name] = {
            "config": original_config(model.config.to_dict()),
            "weights": weights,
            "batch": inputs,
            "expected": measure(model, adapter_for(model), inputs) | {"audio_nll": nll},
        }
    torch.save(cases, file)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
