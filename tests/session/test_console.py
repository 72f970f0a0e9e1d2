"""The console of a training script: nothing is written into a progress bar, no line is wider than the terminal."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from short_demo import lay_out

ROOT = Path(__file__).parents[2]
SCRIPT = """
import logging, sys, warnings
from tqdm import tqdm
from transformers.utils import logging as theirs
from tracker_logging.session.console import configure_console
configure_console(quiet="--quiet" in sys.argv)
bar = tqdm(total=9, file=sys.stderr)
bar.update(3)
logging.getLogger("tracker_logging").info("a message " * 20 + "and a path /" + "long/" * 30)
logging.getLogger("tracker_logging").warning("%s", "a warning\\n  tracker-logging open " + "x" * 90)
theirs.get_logger("transformers.trainer").warning("a warning of transformers")
warnings.warn("a Python warning")
bar.update(6)
bar.close()
"""


TRAINING = "import sys; from train_v2_ddp import main; sys.exit(main(sys.argv[1:]))"


def shown(tmp_path: Path, *flags: str, content: str = SCRIPT) -> list[str]:
    """The lines that a terminal of 80 columns keeps: a bar that is erased and drawn again counts as erased."""
    script = tmp_path / "script.py"
    script.write_text(content)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = os.environ | {"COLUMNS": "80", "LINES": "24", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, script, *flags], stderr=theirs, stdout=theirs, env=environment)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # Linux: the other side is closed
        pass
    assert process.wait(60) == 0, written[-2000:]
    os.close(ours)
    lines = []
    for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", written.decode()).replace("\r\n", "\n").split("\n"):
        text = ""
        for overwrite in line.split("\r"):  # from column 0 on
            text = overwrite + text[len(overwrite) :]
        lines.append(text.rstrip())
    return lines


def test_messages_stand_on_lines_of_their_own_at_80_columns(tmp_path: Path) -> None:
    lines = shown(tmp_path)
    wide = [line.strip() for line in lines if len(line) > 80]
    (command,) = (line for line in wide if " " in line)  # a path alone is not broken
    assert command.startswith("tracker-logging open "), wide
    assert any("long/long/" in line for line in wide)
    text = " ".join("\n".join(lines).split())
    for message in ("INFO tracker_logging: a message", "a warning of transformers", "UserWarning: a Python warning"):
        assert text.count(message) == 1, message
    assert [line for line in lines if "100%|" in line and "9/9" in line], "the bar itself"
    assert not [line for line in lines if "%|" in line and ("WARNING" in line or "INFO" in line)], lines


def test_quiet_leaves_warnings(tmp_path: Path) -> None:
    text = " ".join("\n".join(shown(tmp_path, "--quiet")).split())
    assert "INFO" not in text
    assert all(words in text for words in ("a warning", "a warning of transformers", "a Python warning"))


def test_handlers_of_the_user_stay() -> None:
    from tracker_logging.session.console import configure_console

    handlers = list(logging.root.handlers)
    assert handlers, "pytest has its own"
    configure_console()
    assert logging.root.handlers == handlers
    assert logging._warnings_showwarning is None, "warnings go where they went"


@pytest.mark.slow
def test_a_training_fits_80_columns_and_says_nothing_twice(demo: Path, tmp_path: Path) -> None:
    output = lay_out(demo, tmp_path / "out")
    short = "--demo composed --max_steps 3 --logging_steps 1 --per_device_train_batch_size 2"
    short += " --enable_strategic_logging --strategic_loggers inputs,outputs"
    lines = shown(tmp_path, *short.split(), "--output_dir", str(output), content=TRAINING)
    assert [line for line in lines if len(line) > 80 and str(tmp_path) not in line] == []
    bars = [line for line in lines if "3/3" in line]
    assert bars and all(line.startswith("100%|") and "loss " in line for line in bars), "nothing is glued to the bar"
    text = "\n".join(lines)
    last_word = text[text.index("Base, best and last:") :].splitlines()
    run = output / "runs" / "run"
    assert f"  run:         {run} (summary.md, summary.json)" in last_word and len(last_word) <= 24
    assert any(line.startswith("  look at it:") and line.endswith(f"open {run}") for line in last_word)
    assert text.count("tracker-logging open ") == 2 and "pinnedCards" not in text  # at the start and at the end
    assert text.count("Base, best and last:") == 1
    said = [line for line in lines if line.startswith(("INFO", "WARNING")) and not line.endswith("tracker_logging:")]
    assert len(said) == len(set(said))
