"""What a data set is, in a few plain values: shown beside a run, so that two runs can be told apart by their data.

dataset_facts("train", samples)["train_speakers"]
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tracker_logging.data.sample import VoiceSample


def dataset_facts(name: str, samples: Sequence[VoiceSample]) -> dict[str, int | str]:
    """Samples, speakers and languages that the data names, and a fingerprint of texts and file names (no paths)."""
    digest = hashlib.sha256()
    for sample in samples:
        clips = [clip.name for clip in (sample.reference_audio, sample.target_audio) if clip is not None]
        digest.update(repr((sample.reference_text, sample.target_text, clips)).encode("utf-8", "surrogatepass"))
    return {
        f"{name}_samples": len(samples),
        f"{name}_speakers": len({sample.speaker for sample in samples if sample.speaker}),
        f"{name}_languages": len({sample.language for sample in samples if sample.language}),
        f"{name}_fingerprint": digest.hexdigest()[:12],
    }
