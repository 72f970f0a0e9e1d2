"""The `--voice_…` arguments: one group for any training script.

add_voice_arguments(parser)
args = parser.parse_args()
callbacks = strategic_callbacks(
    ..., voice_samples=voice_samples(args, evaluation), voice_settings=voice_settings(args)
)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker_logging.data.formats import open_samples
from tracker_logging.data.sample import VoiceSample
from tracker_logging.data.samples import evenly
from tracker_logging.voices.prompt import MOST_READ
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.settings import VoiceSettings

_DEFAULTS = VoiceSettings()
_CHOICE = "NAME, NAME=PATH, module:factory or off"


def add_voice_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--voice_prompts` and all settings of `VoiceSettings`, in a group of their own."""
    add = parser.add_argument_group("voices").add_argument
    add("--voice_prompts", type=Path, help="data file with the prompts; default: the evaluation data")
    add("--voice_max_clips", type=int, default=_DEFAULTS.max_clips, help="prompts generated at each voice step")
    add("--voice_batch_size", type=int, default=_DEFAULTS.batch_size, help="halved when memory runs out")
    add("--voice_takes", type=int, default=_DEFAULTS.takes, metavar="K", help="clips per prompt, with different seeds")
    add("--voice_temperature", type=float, metavar="T", help="0: greedy; default: as the model's family is published")
    add("--voice_top_p", type=float, metavar="P", help="default: as the model's family is published")
    add("--voice_top_k", type=int, metavar="K", help="0: from all codes; default: as the model's family is published")
    add("--voice_seed", type=int, default=_DEFAULTS.seed)
    add(
        "--voice_timeout_s",
        type=float,
        default=_DEFAULTS.timeout_s,
        help="longest wait for a rank, and for scoring",
    )
    add("--voice_cond_gain", action="store_true", help="also generate each text with another speaker's reference")
    add("--voice_encoder", help=f"speaker similarity: ge2e (default), wavlm=PATH, seed-tts=PATH, NAME=FILE; {_CHOICE}")
    add("--voice_pitch", help=f"F0: swift-f0 (default) or world; {_CHOICE}")
    add(
        "--voice_quality",
        help=f"comma-separated of dnsmos, distillmos (default: what is installed), NAME=FILE; {_CHOICE}",
    )
    add(
        "--voice_similarity",
        metavar="NAME=FILE",
        help="comma-separated: further similarities to the prompt, such as emotion=FILE, by embeddings of an ONNX or "
        "TorchScript file or of module:factory",
    )
    add(
        "--voice_transcriber",
        help=f"word errors: whisper (default, if one is in the Hugging Face cache), whisper=DIRECTORY; {_CHOICE}",
    )


def voice_settings(args: argparse.Namespace) -> VoiceSettings:
    """The settings that the arguments give. Raises `ValueError` for an invalid value."""
    return VoiceSettings(
        max_clips=args.voice_max_clips,
        batch_size=args.voice_batch_size,
        takes=args.voice_takes,
        sampling_changes=_sampling_changes(args),
        seed=args.voice_seed,
        timeout_s=args.voice_timeout_s,
        cond_gain=args.voice_cond_gain,
        scorers=ScorerChoice(
            encoder=args.voice_encoder,
            pitch=args.voice_pitch,
            transcriber=args.voice_transcriber,
            quality=_several(args.voice_quality),
            similarity=_several(args.voice_similarity),
        ),
    )


def _several(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split(","))


def _sampling_changes(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, f"voice_{name}") for name in ("temperature", "top_p", "top_k")}
    changes = {name: value for name, value in given.items() if value is not None}
    return changes | ({"top_k": None} if changes.get("top_k") == 0 else {})


def voice_samples(args: argparse.Namespace, evaluation: Sequence[VoiceSample]) -> Sequence[VoiceSample]:
    """The samples of `--voice_prompts`, else the evaluation samples, evenly spread, at most `MOST_READ`, or
    `--voice_max_clips` if that is more.

    Raises `DataError`.
    """
    samples = evaluation if args.voice_prompts is None else open_samples(args.voice_prompts)
    return evenly(samples, max(MOST_READ, args.voice_max_clips))
