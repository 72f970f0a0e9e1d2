"""Language models whose vocabulary holds audio codes: what is measured, against a computation from tokens alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from codec_token_models import (
    END,
    LAYOUTS,
    TEXT,
    VOCABULARY,
    adapter_of,
    batch_of,
    model_of,
    prompts_of,
    samples_of,
)
from peft import LoraConfig, get_peft_model
from read_back import read_jsonl
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from tracker_logging import strategic_callbacks
from tracker_logging.families import IGNORE, Prompt, Role, SamplingSettings, unwrap
from tracker_logging.families.codec_tokens.adapter import CodecTokenAdapter
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.probe_set import NEEDS
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.testing import assert_adapter


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_suite_is_green(name: str) -> None:
    assert_adapter(adapter_of(name), batch_of(name), prompts=prompts_of(name))


def captured(adapter: object, batch: dict[str, torch.Tensor], *needs: str) -> StepSnapshot:
    capture = StepCapture(adapter=adapter, needs=frozenset(needs), attention_samples=len(batch["input_ids"]))
    capture.attach(adapter.core.train())
    adapter.core(**batch).loss.backward()
    capture.before_update(None)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None
    return snapshot


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_slot_and_the_text_are_scored_by_the_softmax_over_the_whole_vocabulary(name: str) -> None:
    adapter, batch, ids = adapter_of(name), batch_of(name), LAYOUTS[name]
    with torch.no_grad():
        logits = adapter.core(**batch).logits.double().numpy()
    found = captured(adapter, batch, "tokens")
    for slot, rows in enumerate(ids.slots):
        scored = [
            (logits[row, at - 1], END if code == ids.codes else rows.start + code)
            for row, sample in enumerate(samples_of(name))
            for at, of, code in sample.codes
            if of == slot
        ]
        p = np.array([np.exp(values) / np.exp(values).sum() for values, _ in scored])
        likely = p.argmax(axis=1)
        label = np.array([token for _, token in scored])
        valid = [token for token in likely if token in rows or (slot == 0 and token == END)]
        shares = np.unique(valid, return_counts=True)[1] / max(1, len(valid))
        assert found.tokens.rows[slot] == len(scored) > 0
        assert found.tokens.nll[slot] == pytest.approx(-np.log(p[np.arange(len(p)), label]).mean(), rel=1e-5)
        assert found.tokens.accuracy[slot] == pytest.approx((likely == label).mean())
        assert found.tokens.entropy[slot] == pytest.approx(-(p * np.log(p)).sum(axis=1).mean(), rel=1e-5)
        assert found.tokens.outside[slot] == pytest.approx(1 - len(valid) / len(scored))
        expected = np.exp(-(shares * np.log(shares)).sum()) / (len(rows) + (slot == 0)) if len(valid) else 0.0
        assert found.tokens.usage[slot] == pytest.approx(expected, rel=1e-6)
    text = [(row, at, sample.ids[at]) for row, sample in enumerate(samples_of(name)) for at in sample.text]
    nll = [np.log(np.exp(logits[row, at - 1]).sum()) - logits[row, at - 1, token] for row, at, token in text]
    assert found.text.nll[0] == pytest.approx(np.mean(nll), rel=1e-5)
    everything = (found.tokens.nll * found.tokens.rows).sum() + found.text.nll[0] * found.text.rows[0]
    assert everything / (found.tokens.rows.sum() + found.text.rows[0]) == pytest.approx(found.losses[0], rel=1e-5)


@pytest.mark.parametrize("name", LAYOUTS)
def test_roles_and_frames_follow_from_the_tokens_and_their_labels(name: str) -> None:
    view = adapter_of(name).view(batch_of(name))
    found = [(s.sample, s.role.name, s.start, s.stop, s.frames) for s in view.segments]
    expected = [(at, *span) for at, sample in enumerate(samples_of(name)) for span in sample.spans]
    if LAYOUTS[name].per_clip:  # reference and target have tokens of their own: the clips are as they were written
        assert all(len(sample.spans) in (1, 2) for sample in samples_of(name))
    assert found == expected
    assert (view.roles == Role.TEXT).sum() == sum(
        len(sample.ids) - sum(stop - start for _, start, stop, _ in sample.spans) for sample in samples_of(name)
    )


@pytest.mark.parametrize("name", ["seven slots", "one slot"])
def test_attention_masses_are_those_of_eager_attention(name: str) -> None:
    batch, samples = batch_of(name), samples_of(name)
    snapshot = captured(adapter_of(name, attn_implementation="sdpa"), batch, "attention")
    eager = adapter_of(name, attn_implementation="eager").core
    with torch.no_grad():
        layers = eager(**batch, output_attentions=True).attentions
    for at, weights in enumerate(layers):
        total, rows = np.zeros((4, 3)), np.zeros(3)  # queries of the samples that have both groups
        for row, sample in enumerate(samples):
            groups = np.full(len(sample.ids), "TEXT", dtype=object)
            for role, start, stop, _ in sample.spans:
                groups[start:stop] = role
            queries = np.flatnonzero(groups == "TARGET")
            for column, role in enumerate(("TEXT", "REFERENCE", "TARGET")):
                keys = np.flatnonzero(groups == role)
                rows[column] += len(queries) * bool(len(keys))
                total[:, column] += weights[row][:, queries][..., keys].sum(dim=(1, 2)).numpy()
        assert snapshot.attention.mass[at, :, 2] == pytest.approx(total / rows, abs=1e-5)


def test_the_nll_of_a_target_is_that_of_its_labels_alone() -> None:
    name = "seven slots"
    adapter, batch, samples = adapter_of(name), batch_of(name), samples_of(name)
    found = adapter.audio_nll(batch)
    with torch.no_grad():
        log_p = adapter.core(**batch).logits.double().log_softmax(dim=-1)
    for row, sample in enumerate(samples):
        for slot in range(7):
            of_slot = [log_p[row, at - 1, sample.ids[at]].item() for at, of, _ in sample.codes if of == slot]
            assert found[row, slot].item() == pytest.approx(-np.mean(of_slot), rel=1e-5)


def test_codes_that_are_not_in_slot_order_are_a_violation() -> None:
    from tracker_logging.probes.audit import audit_batch

    adapter, batch = adapter_of("seven slots"), batch_of("seven slots")
    sound = audit_batch(adapter.view(batch), adapter)
    assert sound.delay_violations == 0 and sound.labels.eos_pct == 100.0 and sound.labels.coverage_pct == (100.0,) * 7
    role, start, stop, _ = samples_of("seven slots")[0].spans[1]
    swapped = {name: value.clone() for name, value in batch.items()}
    for value in (swapped["input_ids"], swapped["labels"]):
        value[0, [start, start + 1]] = value[0, [start + 1, start]]
    audit = audit_batch(adapter.view(swapped), adapter)
    assert audit.delay_violations == 1
    assert any(f"the {role.lower()} codes are not in the order of their slots" in v.what for v in audit.violations)
    unended = {name: value.clone() for name, value in batch.items()}
    unended["labels"][0, stop - 1] = IGNORE
    assert any("no end code is trained" in v.what for v in audit_batch(adapter.view(unended), adapter).violations)
    assert TEXT.start not in LAYOUTS["seven slots"].slots[0]


def rows_of_a_step(name: str) -> list[dict[str, list[int]]]:
    """All rows of equal length, as a collator of the user would pad them."""
    batch = batch_of(name)
    return [{key: value[row].tolist() for key, value in batch.items()} for row in range(len(batch["input_ids"]))]


def slot_nll(name: str) -> list[float]:
    """Of the untrained model on `batch_of`, from its logits and what each token was written as."""
    with torch.no_grad():
        log_p = model_of(name)(**batch_of(name)).logits.double().log_softmax(dim=-1)
    found: list[list[float]] = [[] for _ in LAYOUTS[name].slots]
    for row, sample in enumerate(samples_of(name)):
        for at, slot, _ in sample.codes:
            found[slot].append(-log_p[row, at - 1, sample.ids[at]].item())
    return [float(np.mean(values)) for values in found]


def test_adapters_of_peft_are_measured_as_the_model() -> None:
    name = "seven slots"
    model = get_peft_model(
        model_of(name), LoraConfig(target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"], r=2)
    )
    adapter = CodecTokenAdapter(unwrap(model), LAYOUTS[name])
    capture = StepCapture(adapter=adapter, needs=NEEDS)
    capture.attach(model.train())
    model(**batch_of(name)).loss.backward()
    capture.before_update(None)
    capture.after_update(None)
    snapshot = capture.snapshot(1)
    assert capture.errors == []  # one of the samples goes on from its reference
    assert [reason.partition(":")[0] for reason in snapshot.missing] == ["text gaps of training samples"]
    assert snapshot.tokens.nll == pytest.approx(slot_nll(name), rel=1e-5)
    assert snapshot.flow.states["lora_attention_q", None] == "trained"
    assert snapshot.flow.states["attention_k", None] == "frozen"


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed")
@pytest.mark.parametrize("name", ["seven slots", "global tokens"])
def test_the_sft_trainer_of_trl_shows_each_slot(name: str, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    adapter = adapter_of(name)
    words = {f"w{at}": at for at in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="w2")), pad_token="w0", eos_token="w3"
    )
    callbacks = strategic_callbacks(adapter=adapter, processor=tokenizer, report_to=["jsonl"], every=1, budget_pct=1e9)
    trainer = SFTTrainer(
        model=adapter.core,
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=3, report_to="none", use_cpu=True,
            save_strategy="no", disable_tqdm=True, bf16=False, learning_rate=0.0, gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False,
        ),
        train_dataset=Dataset.from_list(rows_of_a_step(name)),
        data_collator=lambda rows: {key: torch.tensor([row[key] for row in rows]) for key in rows[0]},
        callbacks=callbacks,
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    callbacks[0].session.tracker.close()
    scalars = read_jsonl(tmp_path / "runs" / "run").scalars
    for slot, nll in enumerate(slot_nll(name)):
        assert scalars[f"outputs/nll/codebook_{slot}", 1] == pytest.approx(nll, rel=1e-4)
    assert scalars["tracker/errors", 1] == 0.0


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_model_that_learnt_a_sample_generates_its_codes_and_stops(name: str) -> None:
    adapter, sample = adapter_of(name), samples_of(name)[0]
    batch = {key: value[None] for key, value in sample.row.items()}
    optimizer = torch.optim.AdamW(adapter.core.parameters(), lr=1e-2)
    for _ in range(60):
        adapter.core(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    _, start, _, frames = sample.spans[-1]
    slots: list[list[int]] = [[] for _ in LAYOUTS[name].slots]
    for _, slot, code in sample.codes[:-1]:  # the last is the end token
        slots[slot].append(code)
    expected = [codes if len(codes) == frames else (codes * frames)[:frames] for codes in slots]
    long, short = (
        Prompt(token_ids=torch.tensor(sample.ids[:start]), audio_codes=None, max_frames=most, seed=0)
        for most in (frames + 3, frames - 2)
    )
    with isolated(adapter.core):
        whole, cut = adapter.generate([long, short], SamplingSettings())
    assert (whole.codes.tolist(), whole.stop_reason) == (expected, "eos")
    assert (cut.codes.tolist(), cut.stop_reason) == ([codes[: frames - 2] for codes in expected], "max_length")


def test_a_generated_token_that_is_not_due_is_skipped() -> None:
    ids = LAYOUTS["words between"]  # slot 0: 100-111, slot 1: 60-67
    tokens = [60, 101, 5, 102, 61, 103, 62, 104, END, 105, 63]
    assert ids.whole_frames(tokens).tolist() == [[1, 1], [3, 2]]
