"""Scorers that a user names by the directory of a transformers model: here small ones with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMForXVector,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments

RATE = 24_000
REST = {"pitch": "off", "cepstrum": "off", "speech": "off", "quality": ()}


@pytest.fixture
def clip() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


def test_a_wavlm_directory_gives_unit_vectors_that_depend_on_the_clip(tmp_path: Path, clip: np.ndarray) -> None:
    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(16,) * 7,
        tdnn_dim=(16, 16, 16, 16, 32), xvector_output_dim=24, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    WavLMForXVector(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    encoder = choose_instruments(ScorerChoice(encoder=f"wavlm={tmp_path}", **REST)).encoder
    one, again, other = encoder.embed(clip, RATE), encoder.embed(clip, RATE), encoder.embed(clip[::-1].copy(), RATE)
    assert one.shape == (24,) and np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
    assert (one == again).all() and not np.allclose(one, other)


def test_a_whisper_directory_of_transformers_writes_the_same_words_twice(tmp_path: Path, clip: np.ndarray) -> None:
    torch.manual_seed(0)
    letters = {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokenizer = WhisperTokenizer(vocab=letters, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|startoftranscript|>", "<|notimestamps|>"]})
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_target_positions=256,
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
        pad_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.eos_token_id,
        begin_suppress_tokens=None, suppress_tokens=None,
    )  # fmt: skip
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(tmp_path)
    transcriber = choose_instruments(ScorerChoice(encoder="off", transcriber=f"whisper={tmp_path}", **REST)).transcriber
    words = transcriber.transcribe(clip, RATE, language="en")
    assert words and set(words) <= set(letters)
    assert transcriber.transcribe(clip, RATE, language=None) == words
