"""Makes a copy of the demo's data with a reference of another speaker in every training sample.

    python docs/make_broken_data.py outputs/demo/demo outputs/broken

Writes `train.json` and `eval.json` (unchanged); clips are not copied.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any


def with_shuffled_references(samples: list[dict[str, Any]], *, seed: int) -> list[dict[str, Any]]:
    """Each sample with the reference audio and text of a sample of another speaker, and its own target."""
    draw = random.Random(seed)
    shuffled = []
    for sample in samples:
        other = draw.choice([candidate for candidate in samples if candidate["speaker"] != sample["speaker"]])
        (user,) = (message for message in sample["messages"] if message["role"] == "user")
        (other_user,) = (message for message in other["messages"] if message["role"] == "user")
        content = [*other_user["content"][:2], *user["content"][2:]]
        messages = [{**message, "content": content} if message is user else message for message in sample["messages"]]
        misc = {**sample["misc"], "ref_transcript": other["misc"]["ref_transcript"]}
        shuffled.append({**sample, "messages": messages, "misc": misc})
    return shuffled


def absolute(samples: list[dict[str, Any]], directory: Path) -> list[dict[str, Any]]:
    """The samples with absolute clip paths, so that the file can be anywhere."""
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
