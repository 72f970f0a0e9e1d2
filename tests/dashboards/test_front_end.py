"""The pure parts of the front end, tested in Node."""

import re
import shutil
import subprocess
from collections.abc import Mapping
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


TEXT = ("ink", "soft", "accent", "warn", *(f"grade-{grade}" for grade in range(5)))
GROUNDS = ("paper", "ground", "accent-ground")


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes() -> Mapping[str, Mapping[str, str]]:
    """Theme → name of a colour → its value; the dark theme replaces colours of the light one."""
    text = (STATIC / "board.css").read_text()
    blocks = re.findall(r"^:root(?:\[data-theme=\"(dark)\"\])? \{(.*?)\}", text, re.DOTALL | re.MULTILINE)
    named = {name or "light": dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", body)) for name, body in blocks}
    return {"light": named["light"], "dark": {**named["light"], **named["dark"]}}


def test_the_formula_of_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == 21.0
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54


def test_every_text_has_enough_contrast_in_both_themes() -> None:
    low = {
        (theme, text, ground): round(ratio, 2)
        for theme, colours in themes().items()
        for text in TEXT
        for ground in GROUNDS
        if (ratio := contrast(colours[text], colours[ground])) < 4.5
    }
    assert low == {}
    assert all(
        contrast(colours["paper"], colours["warn"]) >= 4.5 for colours in themes().values()
    )  # the server is gone


def test_no_style_or_drawing_has_a_text_colour_of_its_own() -> None:
    own = [
        (path.name, colour)
        for path in STATIC.glob("*.css")
        for colour in re.findall(r"[^-]color: (#\w+|rgb[^;]*)", path.read_text())
    ]
    assert own == []
    drawn = re.findall(r"axis: \"(#[0-9a-f]{6})\"", (STATIC / "picture.js").read_text())
    grounds = [colours[ground] for colours in themes().values() for ground in ("paper", "accent-ground")]
    assert len(drawn) == 2
    assert all(contrast(drawn[place // 2], ground) >= 4.5 for place, ground in enumerate(grounds))
