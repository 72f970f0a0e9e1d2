"""Tiny language models whose vocabulary holds audio codes, and samples written token by token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from tiny_families import Row, numbers, text_collate
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from tracker_logging.families import IGNORE, Prompt
from tracker_logging.families.codec_tokens.adapter import CodecTokenAdapter
from tracker_logging.families.codec_tokens.layout import TokenIds

TEXT, BEGIN, END, VOCABULARY = range(2, 38), 38, 39, 160
LAYOUTS = {
    "seven slots": TokenIds(name="snac", slots=tuple(range(40 + 16 * at, 56 + 16 * at) for at in range(7)), end=END),
    "one slot": TokenIds(name="xcodec", slots=(range(50, 82),), end=END),
    "words between": TokenIds(name="dac", slots=(range(100, 112), range(60, 68)), end=END, inside=True),
    "global tokens": TokenIds(
        name="bicodec", slots=(range(40, 56), range(60, 68)), end=END, per_clip=frozenset({1}), inside=True
    ),
}
SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END,
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Token ids and labels; `codes`: (position, slot, code) of each labelled code, the end token as slot 0; `spans`:
    (role, start, stop, frames) of the clips; `text`: labelled positions of text."""

    ids: list[int]
    labels: list[int]
    codes: list[tuple[int, int, int]]
    spans: list[tuple[str, int, int, int]]
    text: list[int]

    @property
    def row(self) -> Row:
        return {"input_ids": torch.tensor(self.ids), "labels": torch.tensor(self.labels)}


def llama(**options: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL, **options))


def qwen2(**options: Any) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=True, **options))


def model_of(name: str, **options: Any) -> nn.Module:
    return llama(**options) if name in ("seven slots", "words between") else qwen2(**options)


def adapter_of(name: str, **options: Any) -> CodecTokenAdapter:
    return CodecTokenAdapter(model_of(name, **options), LAYOUTS[name])


class Writer:
    """Writes one sample, and what each token is."""

    def __init__(self, ids: TokenIds, seed: int) -> None:
        self._ids, self._seed = ids, seed
        self.sample = Sample([1], [IGNORE], [], [], [])

    def text(self, count: int, *, trained: bool = False) -> None:
        self._seed += 1
        for token in numbers(count, seed=self._seed, low=TEXT.start, high=TEXT.stop).tolist():
            self._put(token, trained)

    def token(self, token: int, *, trained: bool = False) -> None:
        self._put(token, trained)

    def clip(self, frames: int, *, role: str, trained: bool, end: bool = True) -> None:
        ids, start = self._ids, len(self.sample.ids)
        for slot in sorted(ids.per_clip):
            for _ in range(4):
                self._code(slot, trained)
            self.text(1, trained=trained)
        for frame in range(frames):
            if ids.inside and not ids.per_clip and frame % 3 == 2:  # a word between the codes
                self.text(2, trained=trained)
            for slot in [at for at in range(len(ids.slots)) if at not in ids.per_clip]:
                self._code(slot, trained)
        if end:
            if trained:
                self.sample.codes.append((len(self.sample.ids), 0, ids.codes))
            self._put(END, trained, text=False)
        self.sample.spans.append((role, start, len(self.sample.ids), frames))

    def _code(self, slot: int, trained: bool) -> None:
        self._seed += 1
        code = int(numbers(1, seed=self._seed, high=len(self._ids.slots[slot])))
        if trained:
            self.sample.codes.append((len(self.sample.ids), slot, code))
        self._put(self._ids.slots[slot].start + code, trained, text=False)

    def _put(self, token: int, trained: bool, *, text: bool = True) -> None:
        if trained and text:
            self.sample.text.append(len(self.sample.ids))
        self.sample.ids.append(token)
        self.sample.labels.append(token if trained else IGNORE)


def written(name: str, *, reference: int, target: int, seed: int, continued: bool = False) -> Sample:
    """A clip after its text, or two turns of both; `continued`: the target goes on with the frames of the reference."""
    writer = Writer(LAYOUTS[name], 1000 * seed)
    if reference:
        writer.text(4)
        writer.token(BEGIN)
        writer.clip(reference, role="REFERENCE", trained=False, end=not continued)
    if not continued:
        writer.text(5)
        writer.token(BEGIN, trained=True)
    writer.clip(target, role="TARGET", trained=True)
    writer.text(1, trained=True)
    return writer.sample


def samples_of(name: str) -> list[Sample]:
    """Two turns, one turn, and (where a clip has no tokens of its own as a whole) a continued clip."""
    continued = not LAYOUTS[name].per_clip and not LAYOUTS[name].inside
    return [
        written(name, reference=3, target=5, seed=1),
        written(name, reference=0, target=6, seed=2),
        written(name, reference=2, target=4, seed=3, continued=continued),
    ]


def rows_of(name: str, count: int) -> list[Row]:
    return [
        written(name, reference=(at % 2) * (2 + at % 3), target=4 + at % 3, seed=10 + at).row for at in range(count)
    ]


def batch_of(name: str) -> Row:
    return text_collate([sample.row for sample in samples_of(name)])


def prompts_of(name: str) -> list[Prompt]:
    """Two seeds of one prompt with a reference, and a shorter one without."""
    with_reference, without = (sample.ids[: sample.spans[-1][1]] for sample in samples_of(name)[:2])
    prompt = Prompt(token_ids=torch.tensor(with_reference), audio_codes=None, max_frames=6, seed=1)
    return [prompt, replace(prompt, seed=2), Prompt(torch.tensor(without), None, max_frames=4, seed=3)]
