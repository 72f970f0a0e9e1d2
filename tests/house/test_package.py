"""The source distribution builds, and the wheel that comes of it works in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import tracker_logging

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "tracker_logging", "dashboards")
CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    made = tmp_path_factory.mktemp("sdist")
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(made)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, env=CLEAN, check=True, capture_output=True)
    (archive,) = made.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the source distribution and nothing else."""
    made = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*build, "--wheel-dir", made, sdist], cwd=made, env=CLEAN, check=True, capture_output=True)
    (archive,) = made.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel; what it depends on is borrowed from this one."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(install, env=CLEAN, check=True, capture_output=True)
    (own,) = environment.glob("lib/*/site-packages")
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def test_the_source_distribution_holds_the_dashboards(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"dashboards/plugin.py", "tracker_logging/py.typed", "README.md", "LICENSE"} <= names


def test_the_wheel_holds_all_assets_and_their_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {path.relative_to(ROOT) for path in (ROOT / "tracker_logging").rglob("*") if path.is_file()}
    pages = {"tracker_logging" / path.relative_to(ROOT) for path in (ROOT / "dashboards").rglob("*") if path.is_file()}
    assert {str(path) for path in package | pages if "__pycache__" not in path.parts} <= names
    assert sum(name.rpartition("/")[2].startswith("LICENSE") for name in names if "/licenses/" in name) >= 4


def test_the_tab_and_the_command_are_found_in_a_new_environment(installed: Path, tmp_path: Path) -> None:
    code = (
        "import json, tracker_logging; from importlib.metadata import entry_points;"
        "(tab,) = entry_points(group='tensorboard_plugins', name='voices');"
        "print(json.dumps([tracker_logging.__file__, tab.load().plugin_name]))"
    )
    said = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, env=CLEAN, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    home, tab = json.loads(said.stdout)
    assert Path(home).is_relative_to(installed.parent) and tab == "voices"
    version = [installed / "tracker-logging", "--version"]
    assert subprocess.run(version, cwd=tmp_path, env=CLEAN, capture_output=True, text=True).stdout.strip() == (
        tracker_logging.__version__
    )


def test_the_installed_command_shows_on_the_demo_that_all_is_well(installed: Path, tmp_path: Path) -> None:
    command = [installed / "tracker-logging", "validate"]
    done = subprocess.run(command, cwd=tmp_path, env=CLEAN, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on the demo" in done.stdout and "PASSED" in done.stdout
    assert list(tmp_path.iterdir()) == []
