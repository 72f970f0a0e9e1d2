"""docs/check_data.md matches the table of checks."""

import importlib.util
from pathlib import Path

from tracker_logging.doctor.data_checks import checks

DOCS = Path(__file__).parents[2] / "docs"


def test_the_document_matches_the_table_of_checks() -> None:
    spec = importlib.util.spec_from_file_location("make_data_checks", DOCS / "make_data_checks.py")
    assert spec is not None and spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = (DOCS / "check_data.md").read_text(encoding="utf-8")
    assert page == maker.filled(page), "run: python docs/make_data_checks.py"
    for check in checks.ALL:
        assert f"| `{check.name}` | {check.level} |" in page


def test_check_names_are_unique_and_every_theme_is_documented() -> None:
    names = [check.name for check in checks.ALL]
    assert len(names) == len(set(names))
    assert {check.theme for check in checks.ALL} == set(checks.THEMES)
    assert all(check.means.endswith(".") and check.fix.endswith(".") for check in checks.ALL)
