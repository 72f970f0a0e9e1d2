"""The documents say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "STRATEGIC_LOGGING.md"


def loaded(name: str) -> ModuleType:
    """A script of `docs`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_tags_and_scores_are_those_of_the_code() -> None:
    maker = loaded("make_tag_tables")
    page = PAGE.read_text(encoding="utf-8")
    assert page == maker.filled(page), "run: python docs/make_tag_tables.py"
    assert "`outputs/nll/mean`" in page


def test_every_flag_that_is_named_exists() -> None:
    from train_v2_ddp import build_parser

    flags = {flag for action in build_parser()._actions for flag in action.option_strings}
    for document in (PAGE, ROOT / "README.md"):
        named = set(re.findall(r"`(--[a-z_]+)", document.read_text(encoding="utf-8")))
        assert named <= flags | {"--voice_"}, document.name


def test_every_link_to_a_file_leads_somewhere() -> None:
    for document in (PAGE, ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), (document.name, target)


def test_the_page_of_the_doctor_describes_the_rules_as_they_are() -> None:
    from tracker_logging.diagnosis.rules import RULES

    maker = loaded("make_doctor_page")
    page = maker.PAGE.read_text(encoding="utf-8")
    assert page == maker.filled(page), "run: python docs/make_doctor_page.py"
    for rule in RULES:
        assert f"`{rule.name}` · {rule.level}" in page
        for words in (rule.opens_when, rule.cause, rule.cure):
            assert words in page
