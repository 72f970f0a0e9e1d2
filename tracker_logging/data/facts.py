"""A few values that describe a dataset, logged with a run so that runs can be compared by their data.

dataset_facts("train", samples)["train_speakers"]
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tracker_logging.data.content_digest import content_of
from tracker_logging.data.sample import REFERENCE_FROM, VoiceSample
from tracker_logging.data.samples import evenly

MOST_READ = 2_000


def dataset_facts(name: str, samples: Sequence[VoiceSample]) -> dict[str, int | str]:
    """Numbers of samples, speakers and languages, and a fingerprint of texts and file names (without folders).

    Of more than `MOST_READ` samples, that many are read, evenly spread. The fingerprint then covers these and the total
    number; speakers and languages are left out, because they cannot be counted.
    """
    read = evenly(samples, MOST_READ)
    is_whole = len(samples) <= MOST_READ
    digest = hashlib.sha256(b"" if is_whole else str(len(samples)).encode())
    for sample in read:
        more = [utterance.text for utterance in (*sample.more_references, *sample.more_targets)]
        texts = (sample.reference_text, sample.target_text, *more, [clip.name for clip in sample.clips])
        digest.update(repr(texts).encode("utf-8", "surrogatepass"))
    facts: dict[str, int | str] = {f"{name}_samples": len(samples)}
    if is_whole:
        facts[f"{name}_speakers"] = len({sample.speaker for sample in read if sample.speaker})
        if paired := sum(REFERENCE_FROM in sample.extra for sample in read):
            facts[f"{name}_paired_references"] = paired
        facts[f"{name}_languages"] = len({sample.language for sample in read if sample.language})
    return facts | {f"{name}_fingerprint": digest.hexdigest()[:12]}


def file_facts(name: str, file: Path) -> dict[str, str]:
    """The name of a data file without its folder, and a digest of its content; of a directory the name only.

    Raises `OSError`.
    """
    facts = {f"{name}_file": file.name}
    return facts | ({f"{name}_digest": content_of(file).digest} if file.is_file() else {})
