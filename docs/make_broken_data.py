"""The demo's data with a reference of another speaker in every training sample: how a broken pairing script looks.

    python docs/make_broken_data.py outputs/demo/demo outputs/broken

Writes `train.json` and `eval.json` (the latter as it is); clips stay where they are.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any


def with_shuffled_references(samples: list[dict[str, Any]], *, seed: int) -> list[dict[str, Any]]:
    """Each sample with the reference audio and text of a sample of another speaker; its target stays."""
    draw = random.Random(seed)
    shuffled = []
    for sample in samples:
        other = draw.choice([one for one in samples if one["speaker"] != sample["speaker"]])
        (own_user,) = (message for message in sample["messages"] if message["role"] == "user")
        (user,) = (message for message in other["messages"] if message["role"] == "user")
        content = [*user["content"][:2], *own_user["content"][2:]]
        messages = [
            {**message, "content": content} if message is own_user else message for message in sample["messages"]
        ]
        misc = {**sample["misc"], "ref_transcript": other["misc"]["ref_transcript"]}
        shuffled.append({**sample, "messages": messages, "misc": misc})
    return shuffled


def absolute(samples: list[dict[str, Any]], directory: Path) -> list[dict[str, Any]]:
    """The same with clips named by their whole path, so that the file may lie elsewhere."""
    for sample in samples:
        for message in sample["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if "audio_url" in part:
                    part["audio_url"] = str((directory / part["audio_url"]).resolve())
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="the demo's built data: OUTPUT_DIR/demo")
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in ("train", "eval"):
        samples = absolute(json.loads((args.demo / f"{name}.json").read_text()), args.demo)
        if name == "train":
            samples = with_shuffled_references(samples, seed=0)
        (args.output / f"{name}.json").write_text(json.dumps(samples))


if __name__ == "__main__":
    main()
