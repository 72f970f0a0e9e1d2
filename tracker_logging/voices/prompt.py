"""The fixed prompts: a reference voice and a text. Chosen once, the same in every run and backend.

Guarantees
- The choice is deterministic and spread over groups, then languages, then speakers, in the order of the data.
- A `voice_id` is one file name and one part of a tag, and holds the speaker's name in its own script.
- `voice_id` follows from the bytes of the reference recording and the texts alone: not from the sampling settings,
  paths, the order of the data, the other prompts or the machine. Runs that differ in sampling have the same voices.
- The seed of a prompt follows from the same and the seed of the run.

    samples = choose_samples(evaluation_samples, count=12)
    prompts = [build_prompt(sample, processor, SamplingSettings(), seed=0) for sample in samples]
    prompts[0].voice_id         # "3fa9c02b71-slt"
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from unicodedata import normalize

from tracker_logging import tags
from tracker_logging.data.audio import check_audio
from tracker_logging.data.groups import group_of
from tracker_logging.data.prompts import Prompts
from tracker_logging.data.sample import VoiceSample
from tracker_logging.data.samples import evenly
from tracker_logging.data.voices import untagged
from tracker_logging.families.base import Processor, Prompt, SamplingSettings

logger = logging.getLogger("tracker_logging")

MOST_READ = 2_000
_LONGER_THAN_TARGET = 1.5
_EXTRA_S = 1.0
_SLOWEST, _USUAL_RATE, _FASTEST = 5.0, 15.0, 60.0  # UTF-8 bytes per second, see `longest_s`
_DIGEST_LENGTH = 10
_MOST_LETTERS, _MOST_BYTES = 32, 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoicePrompt:
    """One voice. `speaker` is the name in the data or, without one, the hash of the reference recording: an unnamed
    speaker with two recordings then counts as two speakers."""

    voice_id: str
    prompt_id: str
    """The `voice_id` of the first take."""
    speaker: str
    sample: VoiceSample
    prompt: Prompt
    sampling: Mapping[str, float | int]
    """As in `VoiceComparison`."""


def choose_samples(samples: Sequence[VoiceSample], *, count: int) -> list[VoiceSample]:
    """At most `count` samples that have a reference recording, round robin over groups (`data.groups`), their
    languages and their speakers.

    Dialogues of several voices are left out, with a message: a clip is compared with the one voice of its prompt.
    Of more than `MOST_READ` samples, that many are read, evenly spread, or `count` if that is more.
    """
    groups: dict[str, dict[str, dict[str, list[VoiceSample]]]] = {}
    prompts = Prompts()
    dialogues = 0
    for sample in evenly(samples, max(MOST_READ, count)):
        dialogues += sample.voices > 1
        if prompts.why_unused(sample) is not None:
            continue
        speaker = sample.speaker or str(sample.reference_audio)
        languages = groups.setdefault(group_of(sample) or "", {})
        languages.setdefault(sample.language or "", {}).setdefault(speaker, []).append(sample)
    if dialogues:
        logger.warning(
            "%d of the voice samples are dialogues of several voices and are not generated from: a clip is scored "
            "against one voice. Give samples of one voice in voice_samples.",
            dialogues,
        )
    in_turns = [
        _round_robin([_round_robin(list(speakers.values())) for speakers in languages.values()])
        for languages in groups.values()
    ]
    return _round_robin(in_turns)[:count]


def build_prompt(
    sample: VoiceSample, processor: Processor, settings: SamplingSettings, *, seed: int, take: int = 1
) -> VoicePrompt:
    """The prompt of a sample with a reference recording. Raises `DataError` if a recording cannot be read.

    `take`: further takes of a prompt, from 2, are voices of their own with another seed.
    """
    assert sample.reference_audio is not None
    reference = hashlib.sha256(sample.reference_audio.read_bytes()).hexdigest()
    identity: dict[str, object] = {
        "reference": reference,
        "texts": [sample.system_text, sample.scene, sample.reference_text, sample.target_text],
    }
    if not sample.is_pair:
        more = [one for one in sample.more_references if one.audio is not None]
        identity["more"] = [[hashlib.sha256(one.audio.read_bytes()).hexdigest(), one.text] for one in more if one.audio]
        identity["references_in"] = sample.references_in
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    further = f"/{take}" if take > 1 else ""
    prompt_id = f"{digest[:_DIGEST_LENGTH]}-{_readable(sample)}"
    features = processor.prompt_features(sample)
    prompt = Prompt(
        token_ids=features["input_ids"],
        audio_codes=features.get("audio_input_ids"),
        max_frames=math.ceil(longest_s(sample) * processor.codec.frame_rate),
        seed=int(hashlib.sha256(f"{digest}/{seed}{further}".encode()).hexdigest()[-8:], 16),
    )
    sampling = {name: value for name, value in asdict(settings).items() if value is not None}
    sampling |= {"take": take} if take > 1 else {}
    return VoicePrompt(
        voice_id=f"{prompt_id}-take{take}" if take > 1 else prompt_id,
        prompt_id=prompt_id,
        speaker=sample.speaker or reference[:_DIGEST_LENGTH],
        sample=sample,
        prompt=prompt,
        sampling={**sampling, "seed": seed, "prompt_seed": prompt.seed, "max_frames": prompt.max_frames},
    )


def longest_s(sample: VoiceSample) -> float:
    """The longest clip that may be generated, in seconds: 1.5 times the target plus one second.

    Without a target recording its length is estimated from the reference's speaking rate in UTF-8 bytes per second,
    limited to 5 to 60; without words of the reference the rate is 15. Read English has about 15: 150 words a minute of
    6 letters with the space. So has Mandarin: 5.2 syllables a second (Pellegrino, Coupé & Marsico, Language 87, 2011)
    of 3 bytes. Scripts of 2 or 3 bytes a letter have up to three times as many, for which 15 is a long limit.
    """
    if sample.target_audio is not None:
        return _LONGER_THAN_TARGET * check_audio(sample.target_audio) + _EXTRA_S
    assert sample.reference_audio is not None
    of_reference, of_target = (len(untagged(text).encode()) for text in (sample.reference_text, sample.target_text))
    rate = of_reference / check_audio(sample.reference_audio) if of_reference else _USUAL_RATE
    return _LONGER_THAN_TARGET * of_target / min(max(rate, _SLOWEST), _FASTEST) + _EXTRA_S


def _readable(sample: VoiceSample) -> str:
    """The speaker's name as part of a file name: letters and digits of any script in NFC, at most 96 bytes of UTF-8."""
    name = normalize("NFC", sample.speaker or sample.sample_id)
    short = tags.safe_part(name.replace("_", "-"), "-").strip("-")[:_MOST_LETTERS]
    return short.encode()[:_MOST_BYTES].decode(errors="ignore").strip("-") or "voice"


def _round_robin(groups: Sequence[Sequence[VoiceSample]]) -> list[VoiceSample]:
    longest = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]
