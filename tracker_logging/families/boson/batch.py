"""Converts a batch of the transformers-native layout to that of `boson_multimodal`: one placeholder per audio.

With it our collator and prompts, which are native, work for a `HiggsAudioModel` too.

    batch = boson_batch(native, tokens=tokens, bos=1024)
    model(**batch)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.families.base import IGNORE
from tracker_logging.families.boson.layout import PlaceholderTokens


def boson_batch(
    native: Mapping[str, Any], *, tokens: PlaceholderTokens, bos: int, references_in: bool = False
) -> dict[str, torch.Tensor]:
    """`input_ids` [B, S], `attention_mask`, `audio_out_ids` [K, N] with `audio_out_ids_start`, and labels.

    `native`: the arguments of `HiggsAudioV2ForConditionalGeneration.forward`, padded on the right. A frame of `bos` in
    every codebook begins a clip. With `references_in` every clip without a label becomes an `<|AUDIO|>`
    (`audio_in_ids`); else all are `<|AUDIO_OUT|>`, as in boson's own voice cloning.
    """
    masks = native.get("attention_mask")
    rows: list[dict[str, torch.Tensor]] = []
    streams: dict[str, list[torch.Tensor]] = {"audio_in_ids": [], "audio_out_ids": [], "label_audio_ids": []}
    for sample, token_ids in enumerate(native["input_ids"]):
        keep = slice(None) if masks is None else masks[sample].bool()
        clips, labels = _clips(native, sample, bos=bos)
        is_in = [references_in and label is not None and bool((label == IGNORE).all()) for label in labels]
        texts = {"input_ids": token_ids[keep]}
        if native.get("labels") is not None:
            texts["label_ids"] = native["labels"][sample][keep]
        kinds = [tokens.audio_in if as_input else tokens.audio_out for as_input in is_in]
        rows.append(_collapsed(texts, [len(clip) for clip in clips], kinds, audio_out=tokens.audio_out))
        for clip, label, as_input in zip(clips, labels, is_in, strict=True):
            streams["audio_in_ids" if as_input else "audio_out_ids"].append(clip)
            if not as_input and label is not None:
                streams["label_audio_ids"].append(label)
    batch = {name: pad_sequence([row[name] for row in rows], True, _PADDING[name] or tokens.pad) for name in rows[0]}
    ones = [torch.ones_like(row["input_ids"]) for row in rows]
    batch["attention_mask"] = pad_sequence(ones, True, 0)
    return batch | _joined(streams)


def collapse(token_ids: torch.Tensor, lengths: list[int], *, audio_out: int) -> torch.Tensor:
    """Token ids [T] with runs of audio of these `lengths` -> [S] with one `audio_out` for each."""
    return _collapsed({"input_ids": token_ids}, lengths, [audio_out] * len(lengths), audio_out=audio_out)["input_ids"]


def split_clips(frames: torch.Tensor, *, bos: int) -> list[torch.Tensor]:
    """Frames [F, K] -> the clips, each of which begins with a frame of `bos`."""
    begins = (frames == bos).all(dim=-1).nonzero().squeeze(-1).tolist()
    return list(frames.split([stop - start for start, stop in zip(begins, [*begins[1:], len(frames)], strict=True)]))


_PADDING = {"input_ids": None, "label_ids": IGNORE}


def _clips(
    native: Mapping[str, Any], sample: int, *, bos: int
) -> tuple[list[torch.Tensor], list[torch.Tensor] | list[None]]:
    """The clips of a sample and their labels, each [F, K]."""
    if native.get("audio_input_ids") is None:
        return [], []
    frames, valid = native["audio_input_ids"][sample], native.get("audio_input_ids_mask")
    keep = slice(None) if valid is None else valid[sample].bool()
    clips = split_clips(frames[keep], bos=bos)
    if native.get("audio_labels") is None:
        return clips, [None] * len(clips)
    return clips, list(native["audio_labels"][sample][keep].split([len(clip) for clip in clips]))


def _collapsed(
    texts: Mapping[str, torch.Tensor], lengths: list[int], kinds: list[int], *, audio_out: int
) -> dict[str, torch.Tensor]:
    """Replace each run of audio, which begins with `audio_out`, by one placeholder of its kind without a label."""
    token_ids = texts["input_ids"]
    starts = token_ids == audio_out
    keep = torch.ones_like(starts)
    at = 0
    collapsed = {name: tensor.clone() for name, tensor in texts.items()}
    for length, kind in zip(lengths, kinds, strict=True):
        at = at + int(starts[at:].nonzero()[0])
        keep[at + 1 : at + length] = False
        collapsed["input_ids"][at] = kind
        if "label_ids" in collapsed:
            collapsed["label_ids"][at] = IGNORE
        at += length
    return {name: tensor[keep] for name, tensor in collapsed.items()}


def _joined(streams: Mapping[str, list[torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The clips [F, K] of each stream concatenated to [K, N], and the start of each clip."""
    joined: dict[str, torch.Tensor] = {}
    for name, clips in streams.items():
        if clips:
            joined[name] = torch.cat(clips).T.contiguous()
            if name != "label_audio_ids":
                lengths = torch.tensor([0, *(len(clip) for clip in clips[:-1])], device=clips[0].device)
                joined[f"{name}_start"] = lengths.cumsum(dim=0)
    return joined
