"""Makes the pictures of STRATEGIC_LOGGING.md and README.md: those of a healthy run beside those of a broken one.

    make demo demo-broken
    python docs/make_pictures.py outputs/demo/runs/run outputs/broken-shifted_labels/runs/run

Each picture is read from the runs' event files as it was logged at its last step; nothing is drawn anew. The voice is
the trained one whose similarity to its reference differs most between the runs.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracker_logging.rendering.ink import font
from tracker_logging.runs.voices import VoiceFolders
from tracker_logging.tags import TRAINED
from tracker_logging.trackers.tensorboard_names import logged_name

IMAGES = Path(__file__).parent / "images"
PICTURES = {
    "voice-mel": "voices/{voice}/mel",
    "mass-map": "attention/mass_map",
    "alignment-heads": "attention/alignment_heads",
    "accuracy-map": "outputs/accuracy_map",
    "ffn-paths": "dualffn/rms_map",
    "gradient-map": "gradients/norm_map",
}
"""Name of the file → tag. `{voice}`: a trained voice."""

TITLE_HEIGHT, GAP = 34, 24
WIDEST = 760
MOST_BYTES = 300_000


def pictures_of(run: Path) -> dict[str, Image.Image]:
    """Tag → its picture at the last step."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0})
    events.Reload()
    pictures = {}
    for tag in events.Tags()["tensors"]:
        if events.summary_metadata[tag].plugin_data.plugin_name == "images":
            values = events.Tensors(tag)[-1].tensor_proto.string_val
            pictures[logged_name(tag)] = Image.open(io.BytesIO(values[2])).convert("RGB")  # after width and height
    return pictures


def beside(titled: dict[str, Image.Image]) -> Image.Image:
    """Pictures side by side, each under its title."""
    shown = {title: _at_most(picture, WIDEST) for title, picture in titled.items()}
    width = sum(picture.width for picture in shown.values()) + GAP * (len(shown) - 1)
    height = TITLE_HEIGHT + max(picture.height for picture in shown.values())
    canvas = Image.new("RGB", (width, height), "white")
    draw, left = ImageDraw.Draw(canvas), 0
    for title, picture in shown.items():
        draw.text((left + 6, 6), title, fill=(24, 24, 24), font=font(18))
        canvas.paste(picture, (left, TITLE_HEIGHT))
        left += picture.width + GAP
    return canvas


def _at_most(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def differing_voice(healthy: Path, broken: Path) -> str:
    """The trained voice whose last similarity to its reference in `healthy` is furthest above that in `broken`."""
    similar = []
    for run in (healthy, broken):
        voices, _ = VoiceFolders().read(run)
        trained = [voice for voice in voices.values() if voice.group and voice.group.startswith(TRAINED)]
        similar.append({voice.id: voice.steps[max(voice.steps)].scores.get("sim_o", 0.0) for voice in trained})
    return max(similar[0], key=lambda voice: similar[0][voice] - similar[1][voice])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("healthy", type=Path)
    parser.add_argument("broken", type=Path)
    args = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    healthy, broken = pictures_of(args.healthy), pictures_of(args.broken)
    voice = differing_voice(args.healthy, args.broken)
    for name, tag in PICTURES.items():
        picture_tag = tag.format(voice=voice)
        picture = beside({"healthy": healthy[picture_tag], "labels shifted": broken[picture_tag]})
        path = IMAGES / f"{name}.png"
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.name}: {picture.width} × {picture.height}, {path.stat().st_size // 1000} kB")
        if path.stat().st_size >= MOST_BYTES:
            raise SystemExit(f"{path.name} is larger than {MOST_BYTES // 1000} kB")


if __name__ == "__main__":
    main()
