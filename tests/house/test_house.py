"""The house keeps its shape: imports go one way, files stay small, the front door stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("tracker_logging", "tests", "benchmarks", "dashboards", "examples")
SOURCES = sorted([ROOT / "train_v2_ddp.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])


def test_imports_follow_the_arrows_of_the_design() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_over_450_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 450


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_over_70_lines(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [function.name for function in functions if lines_of_code(function) > 70] == []


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines after the signature and the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by name alone: with two of a name, one is not collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_importing_the_package_brings_in_no_backend_and_no_plotting() -> None:
    heavy = ["wandb", "tensorboard", "librosa", "matplotlib", "torch", "transformers"]
    code = f"import sys, tracker_logging; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_importing_the_callbacks_brings_in_no_backend_and_no_plotting() -> None:
    heavy = ["wandb", "tensorboard", "librosa", "matplotlib", "pyworld", "onnxruntime"]
    code = (
        "import sys, transformers; from tracker_logging import strategic_callbacks;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_tag_is_found_by_its_own_name() -> None:
    from tracker_logging import tags

    for tag in tags.ALL:
        fields = {part.split("}")[0]: 7 for part in tag.template.split("{")[1:]}
        assert tags.find(tag(**fields)) is tag
