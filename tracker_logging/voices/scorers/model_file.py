"""A speaker encoder, a quality predictor or a similarity in one file: ONNX (`NAME=model.onnx`) or TorchScript (`.pt`).

    --voice_encoder ecapa=ecapa.onnx --voice_quality utmos=utmos.onnx --voice_similarity emotion=emotion2vec.onnx

What the model takes and gives
- One input: a clip [1, n] float32, full scale ±1; or, where an ONNX input has three dimensions, its Kaldi filterbanks
  [1, frames, 80], as WeSpeaker and 3D-Speaker export their encoders.
- At 16 kHz, or at the rate that the ONNX metadata names `sample_rate`.
- Its first output: an embedding of any shape, or one opinion score per clip; for a similarity [1, D], or [1, frames, D]
  of which the mean over frames is taken.

Guarantees
- On the CPU, on one thread, without a download. A model that does not fit is refused before the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tracker_logging.events import FloatArray
from tracker_logging.voices.scorers.onnx import RATE, resampled, session

SUFFIXES = (".onnx", ".pt", ".pth", ".torchscript")
_BANDS = 80
_FULL_SCALE = 32768.0  # Kaldi reads 16-bit integers


class ModelFile:
    """The model of `path`. `name` is logged. Raises `ValueError` for a file that is no such model."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.sample_rate = RATE
        self._features: Callable[[FloatArray], FloatArray] = lambda wave: wave
        self._run = self._open_onnx(path) if path.suffix == ".onnx" else _open_script(path)

    def output(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[n] float32 at any rate -> the model's first output."""
        samples = resampled(wave, sample_rate, self.sample_rate)
        return np.asarray(self._run(self._features(samples)[None]), dtype=np.float32)

    def _open_onnx(self, path: Path) -> Callable[[FloatArray], FloatArray]:
        try:
            model = session(path)
        except ImportError:
            raise
        except Exception as error:  # onnxruntime's errors have no common class
            raise ValueError(f"{path.name}: no ONNX model ({error}).") from error
        inputs = model.get_inputs()
        shape = inputs[0].shape
        is_wave, is_bank = len(shape) == 2, len(shape) == 3 and shape[2] == _BANDS
        if len(inputs) != 1 or not (is_wave or is_bank):
            shown = ", ".join(f"{each.name} {each.shape}" for each in inputs)
            raise ValueError(
                f"{path.name}: the model takes {shown}; give one that takes a clip [1, n], or its filterbanks "
                f"[1, frames, {_BANDS}]. Export it with what comes before."
            )
        self.sample_rate = int(model.get_modelmeta().custom_metadata_map.get("sample_rate", RATE))
        if is_bank:
            self._features = filterbanks
        return lambda batch: model.run(None, {inputs[0].name: batch})[0]


class FileSpeakerEncoder(ModelFile):
    """Embeddings of length 1; NaN for a silent clip."""

    def embed(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[n] float32 -> [D] float32."""
        vector = self.output(wave, sample_rate).ravel()
        with np.errstate(invalid="ignore"):
            return vector / np.linalg.norm(vector)


class FileQualityModel(ModelFile):
    """A score by the name of the model."""

    def rate(self, wave: FloatArray, sample_rate: int) -> dict[str, float]:
        """[n] float32 -> one score."""
        return {self.name: float(self.output(wave, sample_rate).mean())}


class FileSimilarityModel(ModelFile):
    """A representation by the name of the model."""

    def represent(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[n] float32 -> [D] float32."""
        output = self.output(wave, sample_rate)
        mean: FloatArray = output.reshape(-1, output.shape[-1]).mean(axis=0)
        return mean


def filterbanks(samples: FloatArray) -> FloatArray:
    """[n] float32 at 16 kHz -> Kaldi's log mel energies [frames, 80] of 25 ms every 10 ms, without their mean."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    bank = mel_filter_bank(257, _BANDS, 20.0, RATE / 2, RATE, mel_scale="kaldi", triangularize_in_mel_space=True)
    energies = spectrogram(
        np.asarray(samples, np.float64) * _FULL_SCALE,
        window_function(400, "hamming", periodic=False), frame_length=400, hop_length=160, fft_length=512, power=2.0,
        center=False, preemphasis=0.97, remove_dc_offset=True, mel_filters=bank, log_mel="log",
        mel_floor=float(np.finfo(np.float32).eps),
    ).T  # fmt: skip
    banks: FloatArray = (energies - energies.mean(axis=0)).astype(np.float32)
    return banks


def _open_script(path: Path) -> Callable[[FloatArray], FloatArray]:
    import torch

    try:
        model = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path.name}: no TorchScript model ({str(error).splitlines()[0]}).") from error

    def run(batch: FloatArray) -> FloatArray:
        with torch.no_grad():
            output = model(torch.from_numpy(batch.copy()))
        array: FloatArray = (output[0] if isinstance(output, tuple | list) else output).numpy()
        return array

    return run
