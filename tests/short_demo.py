"""A demo of a few samples, for trainings of a few steps: reading thousands of samples takes longer than the steps."""

import json
from pathlib import Path

KEPT = {"train.json": 24, "eval.json": 4}


def lay_out(demo: Path, output: Path) -> Path:
    """Puts the demo's model, codec and first samples where `--demo --output_dir output` looks for them.

    What is not cut short are links to `demo`.
    """
    (output / "demo").mkdir(parents=True)
    for part in demo.iterdir():
        here = output / "demo" / part.name
        if part.name in KEPT:
            here.write_text(json.dumps(json.loads(part.read_text())[: KEPT[part.name]]))
        else:
            here.symlink_to(part)
    return output
