"""`tracker-logging voices` with checkpoints of each family, which `config.json` names."""

from pathlib import Path

import pytest
from family_runs import build, demo_layout
from read_back import read_jsonl
from scored_here import scored_here

from tracker_logging.cli import main
from tracker_logging.data.sample import DataError
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.checkpoints import open_checkpoint, open_processor
from tracker_logging.families.codec_tokens import processor as codec_token_processor


@pytest.mark.slow
@pytest.mark.parametrize("family", ["csm", "dia", "codec_tokens"])
def test_a_saved_checkpoint_is_generated_from(
    family: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = build(family, demo, tmp_path / "codes")
    monkeypatch.setattr(codec_token_processor, "layout_of", lambda tokenizer: demo_layout(tiny.processor.codec))
    tiny.model.save_pretrained(tmp_path / "tiny")
    tiny.processor.tokenizer.save_pretrained(tmp_path / "tiny")
    codec = [] if family == "csm" else ["--audio_tokenizer_path", str(DemoPaths(demo).codec)]  # CSM has its own
    flags = [
        "--data", str(DemoPaths(demo).eval), "-o", str(tmp_path / "run"), "--report_to", "jsonl", *codec,
        "--voice_max_clips", "2", "--voice_quality", "off", "--voice_pitch", "off",
    ]  # fmt: skip
    with scored_here():
        assert main(["voices", str(tmp_path / "tiny"), *flags]) == 0
    run = read_jsonl(tmp_path / "run")
    assert ("conditioning/gap/mean", 0) in run.scalars and run.scalars["voices/failed", 0] == 0
    assert sum(run.scalars[f"voices/{kind}_clips", 0] for kind in ("valid", "invalid")) == 2


def test_what_is_missing_is_refused_with_the_fix(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Name its directory: --audio_tokenizer_path CODEC"):
        open_processor(DemoPaths(demo).model, codec=None, cache_directory=tmp_path)
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "wav2vec2"}')
    with pytest.raises(DataError, match="bert: its model of type 'wav2vec2' cannot be opened"):
        open_checkpoint(tmp_path / "bert")
