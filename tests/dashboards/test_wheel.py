"""The dashboards are in the wheel, with everything that the pages need."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "tracker_logging", "dashboards")


def test_the_wheel_holds_the_dashboards_and_their_licence(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        text = archive.read(entry_points).decode()
    files = [path.relative_to(ROOT) for path in (ROOT / "dashboards").rglob("*") if path.is_file()]
    wanted = {f"tracker_logging/{path}" for path in files if "__pycache__" not in path.parts}
    assert wanted <= names
    assert "voices = tracker_logging.dashboards.plugin:VoicesPlugin" in text
    assert "tracker-logging = tracker_logging.cli:main" in text
