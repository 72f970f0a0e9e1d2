"""What differs between runs besides the model: named before any number of a comparison.

    conditions(runs, voices=["ab12-slt"], steps={"a": 400, "b": 400})
    # [Condition("sampling", "temperature: a 0.3, b 1.0")]

Settings are in two groups: those that may change the result, and names, places and machinery that cannot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tracker_logging.runs import Clip, Run, Voice

Json = dict[str, Any]

_PATHS = re.compile(
    r"(^|[._])(output_dir|logging_dir|run_name|name|hub_\w+|report_to|project|wandb_\w+|log_\w+|logging_\w+|save_\w+|"
    r"dataloader_num_workers|dataloader_pin_memory|local_rank|disable_tqdm|push_to_hub|strategic_\w+|mirror_to|"
    r"resume_from_checkpoint|overwrite_output_dir|enable_\w+|alert_webhook|cache_dir)$"
)
_ABOUT: Sequence[tuple[str, re.Pattern[str]]] = (
    ("sampling", re.compile(r"voice_(temperature|top_p|top_k|seed|takes)|sampling|max_frames")),
    ("codec", re.compile(r"codec|audio_tokenizer")),
    ("encoder", re.compile(r"encoder|scorer|voice_(speaker|asr|quality)|similarity")),
    ("prompts", re.compile(r"voice_prompts|prompt")),
    ("data", re.compile(r"data|train_file|validation|split|speakers|samples")),
)
_RECORDINGS = (  # clip, what differs with it, and how it is told
    ("reference", "prompts", "other reference recordings"),
    ("target", "prompts", "other target recordings"),
    ("codec", "codec", "other copies of the same recordings"),
)
_NOISE = 1e-3  # share of the power by which copies of one codec may differ on another device
_SHOWN = 3  # voices
_PROMPT_TEXTS = ("reference_text", "target_text", "speaker", "language")
_GROUP = "group"  # runs of earlier versions have none


@dataclass(frozen=True, slots=True)
class Condition:
    """`kind`: sampling, prompts, codec, encoder or data. `text`: what each run has."""

    kind: str
    text: str


def conditions(runs: Mapping[str, Run], *, voices: Sequence[str], steps: Mapping[str, int]) -> list[Condition]:
    """What differs between the runs over these voices, at these steps, in the order of `_ABOUT`."""
    rows = [*_of_clips(runs, voices, steps), *_of_prompts(runs, voices), *_of_recordings(runs, voices)]
    named = {(row.kind, row.text) for row in rows}
    for setting in differing_settings({name: run.settings for name, run in runs.items()})["differing"]:
        if setting["about"] in dict(_ABOUT):
            row = Condition(setting["about"], f"{setting['name']}: {_each(setting['values'])}")
            rows += [row] if (row.kind, row.text) not in named else []
    order = [kind for kind, _ in _ABOUT]
    return sorted(rows, key=lambda row: order.index(row.kind))


def differing_settings(settings: Mapping[str, Mapping[str, Any]]) -> Json:
    """`settings`: run → its settings. Lists those that differ, with what they are `about`; counts those that do not.

    Of a run alone all are listed.

    `about`: "sampling", "codec", "encoder", "prompts", "data", "training", or "paths" for what cannot matter.
    """
    names = sorted({name for of_run in settings.values() for name in of_run})
    rows = {name: {run: of_run.get(name) for run, of_run in settings.items()} for name in names}
    differing = [
        {"name": name, "about": about(name), "values": values}
        for name, values in rows.items()
        if len(settings) == 1 or any(a != b for a, b in pairwise(values.values()))
    ]
    return {"differing": differing, "same": len(rows) - len(differing)}


def about(setting: str) -> str:
    """What a setting concerns, by its name.

    >>> about("voice_temperature"), about("train_data_file"), about("learning_rate"), about("output_dir")
    ('sampling', 'data', 'training', 'paths')
    """
    if _PATHS.search(setting):
        return "paths"
    return next((kind for kind, pattern in _ABOUT if pattern.search(setting)), "training")


def _of_clips(runs: Mapping[str, Run], voices: Sequence[str], steps: Mapping[str, int]) -> list[Condition]:
    """Sampling settings and scorers that were recorded with the clips themselves."""
    rows = []
    for kind, attribute in (("sampling", "sampling"), ("encoder", "scorers")):
        by_run = {
            name: _values([getattr(step, attribute) for step in _entries(run.voices, voices, steps.get(name))])
            for name, run in runs.items()
        }
        for key in sorted({key for values in by_run.values() for key in values} - {"prompt_seed"}):
            values = {name: by_run[name].get(key) for name in runs}
            if len(set(values.values())) > 1:
                rows.append(Condition(kind, f"{key}: {_each(values)}"))
    return rows


def _of_prompts(runs: Mapping[str, Run], voices: Sequence[str]) -> list[Condition]:
    """Voices of the same id whose texts differ, or that one run was trained on and another was not."""
    rows = []
    for voice in voices:
        for field in (*_PROMPT_TEXTS, _GROUP):
            values = {name: getattr(run.voices[voice], field) for name, run in runs.items() if voice in run.voices}
            if field == _GROUP:
                values = {name: group for name, group in values.items() if group is not None}
            if len(set(values.values())) > 1:
                rows.append(Condition("prompts", f"{field.replace('_', ' ')} of {voice}: {_each(values)}"))
    return rows


def _of_recordings(runs: Mapping[str, Run], voices: Sequence[str]) -> list[Condition]:
    """Voices of the same id whose recordings differ; the codec differs where its copies of the same recordings do."""
    rows, same = [], list(voices)
    for clip, kind, what in _RECORDINGS:
        clips = {
            voice: [run.voices[voice].clips.get(clip) for run in runs.values() if voice in run.voices] for voice in same
        }
        other = [voice for voice, of_voice in clips.items() if _differ([each for each in of_voice if each is not None])]
        if other:
            shown = ", ".join(other[:_SHOWN]) + (", …" if len(other) > _SHOWN else "")
            rows.append(Condition(kind, f"{what} of {len(other)} of {len(voices)} voices ({shown})"))
        same = [voice for voice in same if voice not in other]
    return rows


def _differ(clips: Sequence[Clip]) -> bool:
    """Whether any clip is another recording than the first; one that cannot be read is not judged."""
    try:
        contents = {clip.encoded() for clip in clips}
        if len(contents) < 2:
            return False
        (first, rate), *others = [clip.audio() for clip in clips]
    except (OSError, RuntimeError):  # soundfile's errors are RuntimeErrors
        return False
    noise = _NOISE * float(np.square(first, dtype=np.float64).sum())
    return any(
        other_rate != rate
        or len(other) != len(first)
        or float(np.square(other - first, dtype=np.float64).sum()) > noise
        for other, other_rate in others
    )


def _entries(of_run: Mapping[str, Voice], voices: Sequence[str], step: int | None) -> list[Any]:
    found = (of_run[voice].steps.get(step) for voice in voices if voice in of_run and step is not None)
    return [entry for entry in found if entry is not None]


def _values(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Key → its values over the entries, as text."""
    keys = {key for entry in entries for key in entry}
    return {key: ", ".join(sorted({f"{entry[key]}" for entry in entries if key in entry})) for key in keys}


def _each(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'not set' if value is None else value}" for name, value in values.items())
