"""The oldest dependencies that are allowed are those that `.ci/lower_bounds.sh` tries."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TRIED_EXTRAS = ("voice", "wandb", "peft")
NEW_ON_PURPOSE = {"torch", "wandb-workspaces"}


def bounds(lines: list[str], sign: str) -> dict[str, str]:
    found = [re.fullmatch(rf"([\w-]+){sign}([\w.]+)", line.strip()) for line in lines]
    return {match[1]: match[2] for match in found if match}


def test_the_lower_bounds_that_are_tried_are_those_of_the_project() -> None:
    extras = [line for name in TRIED_EXTRAS for line in PROJECT["optional-dependencies"][name]]
    allowed = bounds([*PROJECT["dependencies"], *extras], ">=")
    tried = bounds((ROOT / ".ci" / "lower_bounds.txt").read_text(encoding="utf-8").splitlines(), "==")
    allowed, tried = ({k: v for k, v in one.items() if k not in NEW_ON_PURPOSE} for one in (allowed, tried))
    assert tried == allowed


def test_the_base_install_is_light() -> None:
    heavy = {"wandb", "onnxruntime", "peft", "pyworld", "playwright", "pyarrow", "scikit-learn", "matplotlib"}
    assert not heavy & bounds(PROJECT["dependencies"], ">=").keys()
    assert {"voice", "asr", "quality", "wandb", "trackio", "mlflow", "swanlab", "peft", "dev"} <= PROJECT[
        "optional-dependencies"
    ].keys()


def test_every_install_hint_names_an_extra_that_exists() -> None:
    sources = [*(ROOT / "tracker_logging").rglob("*.py"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
    named = {
        (extra.strip(), path.name)
        for path in sources
        for extras in re.findall(r"tracker-logging\[([\w,-]+)\]", path.read_text(encoding="utf-8"))
        for extra in extras.split(",")
    }
    assert named
    assert {(extra, name) for extra, name in named if extra not in PROJECT["optional-dependencies"]} == set()
