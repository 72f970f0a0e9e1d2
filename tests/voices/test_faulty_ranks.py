import json
import subprocess
import sys
from pathlib import Path

RANK = Path(__file__).with_name("faulty_rank.py")


def test_a_raising_and_a_sleeping_rank_yield_rows_with_reasons_and_training_ends(tmp_path: Path, demo: Path) -> None:
    ranks = [
        subprocess.Popen(
            [sys.executable, str(RANK), str(rank), str(tmp_path / "store"), str(demo)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    zero, one = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
    assert zero["done"] and zero["errors"] == [] and one["rows"] == []

    rows = {step: [row for row in zero["rows"] if row[0] == step] for step in (1, 2, 3)}
    assert all(len(row) == 4 for row in rows.values())
    assert len({voice for _, voice, _, _ in zero["rows"]}) == 4
    assert [error for _, _, error, _ in rows[1]][1::2] == ["RuntimeError: this rank is broken"] * 2
    assert [error for _, _, error, _ in rows[2]][1::2] == ["rank 1 sent nothing within 12 s"] * 2
    for step in (1, 2):
        assert [has_clip for *_, has_clip in rows[step]] == [True, False, True, False]
    assert [has_clip for *_, has_clip in rows[3]] == [True] * 4
