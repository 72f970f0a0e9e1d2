"""The documents say what the code says."""

import argparse
import ast
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


def test_the_pages_of_commands_and_scores_are_those_of_the_code() -> None:
    maker = loaded("make_reference_pages")
    for name, page in maker.PAGES.items():
        assert (maker.FOLDER / name).read_text(encoding="utf-8") == page(), "run: python docs/make_reference_pages.py"
    assert "## check-data" in maker.commands_page() and "%(" not in maker.commands_page()


def test_every_tag_in_questions_and_symptoms_exists() -> None:
    from tracker_logging import tags

    scores = {score.name for score in tags.SCORES}
    for name in ("questions.md", "troubleshooting.md"):
        groups = {tag.template.partition("/")[0] for tag in tags.ALL}
        for text in re.findall(r"`([a-z_]+/[\w/…]+)`", (ROOT / "docs" / name).read_text(encoding="utf-8")):
            tag = re.sub(r"\b(COMPONENT|VOICE|N)\b|…", "x", text)
            if tag.partition("/")[0] in groups:
                is_mean = tag.endswith("/mean") and tag.split("/")[1] in scores
                assert is_mean or tags.find(tag) or tag.endswith("/x"), (name, text)


def test_every_page_is_part_of_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in site]
    assert missing == []


def test_every_flag_that_is_named_exists() -> None:
    from train_v2_ddp import build_parser

    flags = {flag for action in build_parser()._actions for flag in action.option_strings}
    for document in (PAGE, ROOT / "README.md"):
        named = set(re.findall(r"`(--[a-z_-]+)", document.read_text(encoding="utf-8")))
        assert named <= flags | {"--voice_"}, document.name


def test_the_page_of_settings_is_that_of_the_tests() -> None:
    maker = loaded("make_compatibility")
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), "run: python docs/make_compatibility.py"
    assert maker.page().count("| shown") > 10 and "refused" in maker.page() and "reported missing" in maker.page()


def test_every_link_to_a_file_leads_somewhere() -> None:
    for document in (PAGE, ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), (document.name, target)


def test_the_page_of_the_doctor_describes_the_rules_as_they_are() -> None:
    from tracker_logging.doctor.rules import RULES

    maker = loaded("make_doctor_page")
    page = maker.PAGE.read_text(encoding="utf-8")
    assert page == maker.filled(page), "run: python docs/make_doctor_page.py"
    for rule in RULES:
        assert f"`{rule.name}` · {rule.level}" in page
        for words in (rule.opens_when, *(cause.text for cause in rule.causes), rule.fix):
            assert words in page


def test_every_flag_of_logging_and_voices_is_explained() -> None:
    from tracker_logging.integrations.arguments import add_logging_arguments

    parser = argparse.ArgumentParser(add_help=False)
    add_logging_arguments(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings}
    explained = set(re.findall(r"`(--[a-z_-]+)", PAGE.read_text(encoding="utf-8")))
    assert len(flags) > 20
    assert flags - explained == set()


def test_every_column_of_every_table_is_explained() -> None:
    sources = [
        path for name in ("observers", "session", "voices") for path in (ROOT / "tracker_logging" / name).rglob("*.py")
    ]
    sources.append(ROOT / "tracker_logging" / "trackers" / "parts.py")
    columns = {column for path in sources for column in _columns(ast.parse(path.read_text(encoding="utf-8")))}
    page = PAGE.read_text(encoding="utf-8")
    assert {"first values", "update ratio", "transcript"} <= columns
    assert {column for column in columns if f"`{column}`" not in page} == set()


def _columns(module: ast.Module) -> set[str]:
    """Names in tuples that are given as `columns`, or named `columns` or `_TEXTS`."""
    found: list[ast.expr] = []
    for node in ast.walk(module):
        match node:
            case ast.keyword(arg="columns", value=value):
                found.append(value)
            case ast.Assign(targets=[ast.Name(id="columns" | "_TEXTS")], value=value):
                found.append(value)
    tuples = [value for value in found if isinstance(value, ast.Tuple)]
    return {one.value for value in tuples for one in value.elts if isinstance(one, ast.Constant)}
