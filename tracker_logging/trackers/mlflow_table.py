"""`voices/table` of all rounds as one of MLflow's tables, `tables/voices/table.json`.

MLflow's evaluation page shows and compares it across runs; `MlflowClient.load_table` reads it.

    table = RoundTable.open(client, run_id)
    table.add(("step", "voice"), [[100, "001"]])
    ... upload table.content as the artifact FILE ...
    table.name(client, run_id)

MLflow's own `log_table` reads the file back for each new row and makes numbers of texts on the way: the voice "001"
becomes 1. Therefore the file is written here, in the same format.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tracker_logging import tags

FILE = PurePosixPath("tables", f"{tags.VOICE_TABLE()}.json")
LOGGED_TABLES = "mlflow.loggedArtifacts"  # the tag by which MLflow finds the tables of a run


class RoundTable:
    """The rows of all rounds; a round may have columns that an earlier one has not."""

    def __init__(self, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        self._rows = list(rows)
        self._is_named = False

    @classmethod
    def open(cls, client: Any, run_id: str) -> RoundTable:
        """The table that the run holds, an empty one where it holds none."""
        if all(file.path != str(FILE) for file in client.list_artifacts(run_id, str(FILE.parent))):
            return cls()
        with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
            content = json.loads(Path(client.download_artifacts(run_id, str(FILE), folder)).read_text(encoding="utf-8"))
        return cls([dict(zip(content["columns"], row, strict=True)) for row in content["data"]])

    @property
    def last_step(self) -> int:
        """The step of the latest round, -1 without one."""
        return max((int(row.get("step") or 0) for row in self._rows), default=-1)

    def add(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add the rows of a round."""
        self._rows += [dict(zip(columns, row, strict=True)) for row in rows]

    @property
    def content(self) -> bytes:
        """The file: columns in the order in which they first came, null for a cell that a row has not."""
        columns = list(dict.fromkeys(column for row in self._rows for column in row))
        data = [[_finite(row.get(column)) for column in columns] for row in self._rows]
        return json.dumps({"columns": columns, "data": data}).encode()

    def name(self, client: Any, run_id: str) -> None:
        """Tell MLflow, once, that the file is a table."""
        if not self._is_named:
            known = json.loads(client.get_run(run_id).data.tags.get(LOGGED_TABLES, "[]"))
            ours = {"path": str(FILE), "type": "table"}
            if ours not in known:
                client.set_tag(run_id, LOGGED_TABLES, json.dumps([*known, ours]))
            self._is_named = True


def image_cell(place: PurePosixPath) -> dict[str, str]:
    """The cell that shows the picture of an artifact."""
    return {"type": "image", "filepath": str(place), "compressed_filepath": str(place)}


def _finite(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
