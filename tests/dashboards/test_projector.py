"""The speaker embeddings of voices, read back through TensorBoard's own projector tab."""

import json
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
from conftest import serving, wait_for

from tracker_logging.events import VoiceComparison
from tracker_logging.trackers.tensorboard import TensorBoardTracker

SPEAKERS = ("slt", "b\td\nl")


def vector(speaker: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(8).astype(np.float32)
    return np.eye(8, dtype=np.float32)[speaker] + 0.05 * noise


def written(directory: Path) -> dict[int, list[np.ndarray]]:
    """Two steps of two voices; at the first one the second voice's clip cannot be heard."""
    tracker, sent = TensorBoardTracker(directory), {}
    for step in (100, 200):
        for number, speaker in enumerate(SPEAKERS):
            seeds = {"reference": number, "target": 10 + number, "codec": 3, "generated": step + number}
            embeddings = {name: vector(number, seed) for name, seed in seeds.items()}
            if (step, number) == (100, 1):
                embeddings["generated"] = np.full(8, np.nan, dtype=np.float32)
            shown = [embeddings[name] for name in ("reference", "target", "generated")]
            sent.setdefault(step, []).extend(vector for vector in shown if np.isfinite(vector).all())
            tracker.emit(
                VoiceComparison(
                    step=step,
                    voice_id=f"v{number}",
                    clips={},
                    reference_text="a",
                    target_text="b",
                    speaker=speaker,
                    embeddings=embeddings,
                )
            )
    tracker.emit(VoiceComparison(step=300, voice_id="v0", clips={}, reference_text="a", target_text="b"))
    tracker.close()
    return sent


def test_the_projector_shows_each_step_with_who_speaks_and_what(tmp_path: Path) -> None:
    sent = written(tmp_path / "run")
    with serving(tmp_path) as address:

        def ask(route: str, **query: str) -> bytes:
            return urllib.request.urlopen(
                f"{address}/data/plugin/projector/{route}?{urllib.parse.urlencode(query)}"
            ).read()

        wait_for(lambda: "run" in json.loads(ask("runs")))
        listing = f"{address}/data/plugins_listing"
        wait_for(lambda: json.loads(urllib.request.urlopen(listing).read())["projector"]["enabled"])
        listed = json.loads(ask("info", run="run"))["embeddings"]
        assert [tensor["tensorName"] for tensor in listed] == ["voices step 200", "voices step 100"]
        for tensor in listed:
            step = int(tensor["tensorName"].split()[-1])
            name = tensor["tensorName"]
            shown = np.frombuffer(ask("tensor", run="run", name=name), dtype=np.float32).reshape(-1, 8)
            np.testing.assert_allclose(shown, sent[step], rtol=1e-5)
            header, *rows = ask("metadata", run="run", name=name).decode().splitlines()
            assert header.split("\t") == ["what", "speaker", "voice", "step"] and len(rows) == len(shown)
            assert rows[0] == f"reference\tslt\tv0\t{step}"
            assert rows[3] == f"reference\tb d l\tv1\t{step}"
