"""Voices that a tiny model learns in seconds: the prompt is a held tone, the target a scale that begins with it.

A scale climbs from its speaker's tone to the highest one, so no stretch of it is repeated, its end can be
foreseen, and its beginning only from the prompt.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.families.higgs_v2.processor import SpeechProcessor

FRAME, TONES, SPEAKERS = 960, 16, 6


class ToneCodec:
    """Code c is a tone of 200 + 100 c Hz for 40 ms in all of three codebooks; code 0 is silence."""

    sample_rate, frame_rate, num_codebooks, codebook_size = 24_000, 25.0, 3, TONES
    identity = "tone-codec"

    def __init__(self) -> None:
        self.lock = threading.Lock()  # cannot be pickled, so that voices are scored in this process

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        frames = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
        loudest = np.abs(np.fft.rfft(frames, axis=1)).argmax(axis=1)
        tone = np.where(np.abs(frames).max(axis=1) < 0.01, 0, (25 * loudest - 200) // 100)
        return np.repeat(tone[None].astype(np.int64), self.num_codebooks, axis=0)

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        time = np.arange(FRAME) / self.sample_rate
        tones = [0.3 * (code > 0) * np.sin(2 * np.pi * (200 + 100 * code) * time) for code in codes[0]]
        return np.concatenate([np.zeros(0), *tones]).astype(np.float32)


TEXTS = ("painted a red boat", "river stones")
"""Of a scale in single and in double steps."""


def write_readings(directory: Path, *, shuffled: bool = False) -> list[VoiceSample]:
    """The text says how the scale goes on. `shuffled`: each clip with either text."""
    single = write_samples(directory)
    codec, samples = ToneCodec(), []
    for at, own in enumerate(single):
        double = directory / f"double_{at}.wav"
        soundfile.write(double, codec.decode(np.arange(at + 1, TONES, 2)[None]), codec.sample_rate)
        clips = (own.target_audio, double)
        samples += [
            replace(own, sample_id=f"{own.sample_id}_{text}_{clip}", target_text=TEXTS[text], target_audio=clips[clip])
            for text in (0, 1)
            for clip in (0, 1)
            if shuffled or text == clip
        ]
    return samples


def write_samples(
    directory: Path, *, shuffled: bool = False, silent: bool = False, prompt_frames: int = 4
) -> list[VoiceSample]:
    """One sample per speaker and rotation. `shuffled`: prompts of other speakers; `silent`: targets of silence."""
    codec = ToneCodec()

    def written(name: str, tones: npt.NDArray[np.int64]) -> Path:
        path = directory / f"{name}.wav"
        soundfile.write(path, codec.decode(tones[None]), codec.sample_rate)
        return path

    prompts = [written(f"prompt_{own}", np.full(prompt_frames, own)) for own in range(1, SPEAKERS + 1)]
    scales = [np.arange(own, TONES) for own in range(1, SPEAKERS + 1)]
    targets = [written(f"target_{at}", 0 * own if silent else own) for at, own in enumerate(scales)]
    pairs = [
        (own, (own + turn) % SPEAKERS) for own in range(SPEAKERS) for turn in (range(SPEAKERS) if shuffled else [0])
    ]
    return [
        VoiceSample(
            sample_id=f"{own}_{prompt}", speaker=f"speaker{own}", origin=f"train.json[{own}]",
            reference_text="The old man", reference_audio=prompts[prompt],
            target_text="painted a red boat", target_audio=targets[own],
        )
        for own, prompt in pairs
    ]  # fmt: skip


def processor_in(directory: Path) -> SpeechProcessor:
    codec = ToneCodec()
    return SpeechProcessor(demo_tokenizer(), codec, CodeCache(directory / "codes", codec))


def scale_model(processor: SpeechProcessor) -> HiggsAudioV2ForConditionalGeneration:
    torch.manual_seed(0)
    tokens = processor.tokens
    config = HiggsAudioV2Config(
        vocab_size=len(processor.tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=12, num_codebooks=3, codebook_size=TONES + 2,
        audio_stream_bos_id=processor.bos_code, audio_stream_eos_id=processor.eos_code, audio_token_id=tokens.audio_out,
        audio_bos_token_id=tokens.audio_out_bos, audio_delay_token_id=tokens.delay, pad_token_id=tokens.pad,
        eos_token_id=tokens.end_of_turn, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.1,
    )  # fmt: skip
    model = HiggsAudioV2ForConditionalGeneration(config)
    model.accepts_loss_kwargs = False
    return model
