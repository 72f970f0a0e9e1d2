"""Reads a run back from what a backend has written, as values by (tag, step): the same shape for every backend."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.util.tensor_util import make_ndarray

from tracker_logging.events import Audio, Heatmap, Histogram, Image, Scalars, Table, Text
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.rendering.pcm import decode_wav, to_pcm16
from tracker_logging.rendering.png import decode_png
from tracker_logging.trackers.jsonl import read_record
from tracker_logging.trackers.parts import clip_tag, parts
from tracker_logging.trackers.plain_text import shown
from tracker_logging.trackers.wandb_record import STEP, history, run_directories


@dataclass
class Run:
    """What was read, by (tag, step). `doubles` lists every (tag, step) that was there twice."""

    scalars: dict[tuple[str, int], float] = field(default_factory=dict)
    sounds: dict[tuple[str, int], bytes] = field(default_factory=dict)
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)
    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    histograms: dict[tuple[str, int], tuple[list[float], list[float]]] = field(default_factory=dict)
    doubles: list[tuple[str, int]] = field(default_factory=list)

    @property
    def tags(self) -> set[str]:
        """Every name under which something was written."""
        return {tag for tag, _ in (*self.scalars, *self.pictures, *self.texts, *self.sounds)}

    def put(self, kind: str, tag: str, step: int, value: Any) -> None:
        values = getattr(self, kind)
        if (tag, step) in values:
            self.doubles.append((tag, step))
        values[tag, step] = value


def plain(text: str) -> str:
    """The words of a text, whatever escaped them: no markup, no whitespace, no difference in quoting."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text)).replace("\xa0", " ")).strip()


def tensorboard_values(directory: Path) -> list[tuple[int, Any]]:
    """(step, summary value) of all event files of a directory, oldest file first."""
    values = []
    for path in sorted(directory.glob("events.out.tfevents.*")):
        for data in RawEventFileLoader(str(path)).Load():
            record = Record.FromString(data)
            values += [(record.step, value) for value in record.summary.value]
    return values


def read_tensorboard(directory: Path) -> Run:
    run = Run()
    for step, value in tensorboard_values(directory):
        match value.metadata.plugin_data.plugin_name:
            case "":
                run.put("scalars", value.tag, step, value.simple_value)
            case "audio":
                run.put("sounds", value.tag, step, decode_wav(value.tensor.string_val[0])[0].tobytes())
            case "images":
                run.put("pictures", value.tag, step, decode_png(value.tensor.string_val[2]).tobytes())
            case "histograms":
                left, right, counts = make_ndarray(value.tensor).T.tolist()
                run.put("histograms", value.tag, step, (counts, [*left, right[-1]]))
            case "text":
                run.put("texts", value.tag, step, _markdown_cells(value.tensor.string_val[0].decode("utf-8")))
    return run


def read_wandb(directory: Path) -> Run:
    run = Run()
    for folder in run_directories(directory):
        files = folder / "files"
        for row in history(folder):
            for tag in {key.removesuffix("._type") for key in row if key.endswith("._type")}:
                _wandb_media(run, row, tag, files)
            for key, value in row.items():
                is_number = isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity")
                if is_number and not key.startswith("_") and "." not in key and key != STEP:
                    run.put("scalars", key, row[STEP], float(value))
    return run


def _wandb_media(run: Run, row: dict[str, Any], tag: str, files: Path) -> None:
    step = row[STEP]
    match row[f"{tag}._type"]:
        case "audio":
            for sound, caption in zip(row[f"{tag}.audio"], row[f"{tag}.captions"], strict=True):
                samples = decode_wav((files / sound["path"]).read_bytes())[0].tobytes()
                run.put("sounds", clip_tag(tag, re.split(r"\W", caption)[0]), step, samples)
        case "histogram":
            run.put("histograms", tag, step, (row[f"{tag}.values"], row[f"{tag}.bins"]))
        case "image-file":
            run.put("pictures", tag, step, decode_png((files / row[f"{tag}.path"]).read_bytes()).tobytes())
        case "html-file":
            page = (files / row[f"{tag}.path"]).read_text("utf-8")
            body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
            run.put("texts", tag, step, plain(re.sub(r"</?(?:p|pre|table|thead|tbody|tr|t[hd])\b[^>]*>", " ", body)))


def read_jsonl(directory: Path) -> Run:
    run = Run()
    for event in read_record(directory):
        for part in parts(event):
            match part:
                case Scalars():
                    for tag, value in part.values.items():
                        run.put("scalars", tag, part.step, value)
                case Audio():
                    for name, clip in part.clips.items():
                        run.put("sounds", clip_tag(part.tag, name), part.step, to_pcm16(clip.samples).tobytes())
                case Image():
                    picture = part.picture
                    pixels = draw_heatmap(picture) if isinstance(picture, Heatmap) else picture
                    run.put("pictures", part.tag, part.step, pixels.tobytes())
                case Histogram():
                    run.put("histograms", part.tag, part.step, (part.counts.tolist(), part.edges.tolist()))
                case Text():
                    run.put("texts", part.tag, part.step, plain(part.text))
                case Table():
                    cells = [shown(cell) for line in (part.columns, *part.rows) for cell in line]
                    run.put("texts", part.tag, part.step, plain(" ".join(cells)))
    return run


def same_scalars(a: Run, b: Run) -> bool:
    """Equal at every tag and step, in the 32 bits that TensorBoard keeps; NaN equals NaN."""
    if a.scalars.keys() != b.scalars.keys():
        return False
    pairs = ((np.float32(a.scalars[key]), np.float32(b.scalars[key])) for key in a.scalars)
    return all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in pairs)


def _markdown_cells(text: str) -> str:
    if text.startswith("|"):
        lines = [line for line in text.splitlines() if not re.fullmatch(r"[| -]*", line) or " -" not in line]
        text = " ".join(line.strip("|").replace(" | ", " ") for line in lines)
    return plain(text.replace(" ⏎ ", " "))
