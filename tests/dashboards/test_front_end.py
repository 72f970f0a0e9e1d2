"""The pure parts of the front end, tested in Node."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "front_end"
STATIC = Path(__file__).parents[2] / "dashboards" / "static"


def test_the_pure_modules_pass_their_own_tests() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node; fix: apt-get install nodejs (20 or newer)")
    command = [node, "--experimental-default-type=module", "--test", *map(str, sorted(TESTS.glob("*.test.mjs")))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_every_module_and_style_is_short() -> None:
    sources = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css")]
    assert len(sources) > 20
    assert {path.name: lines for path in sources if (lines := len(path.read_text().splitlines())) > 300} == {}


def test_no_module_makes_html_of_text() -> None:
    risky = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function")
    uses = [(path.name, word) for path in STATIC.glob("*.js") for word in risky if word in path.read_text()]
    assert uses == []
