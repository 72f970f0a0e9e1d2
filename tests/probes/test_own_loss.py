"""A loss computed outside the model: the labels are found, heads that were not called are scored, else it is reported.

The expected numbers are those of the same training with the loss of the model, or of a plain forward.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_model import K, V, batch, sample, small_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from torch.nn.functional import cross_entropy
from trainer_captures import SAMPLES, Captures, capture_training
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer

from tracker_logging.families import IGNORE, Role, adapter_for
from tracker_logging.metrics.tokens import TokenStatistics
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.evaluation import EvaluationCapture
from tracker_logging.probes.snapshot import EvaluationSnapshot, StepSnapshot

SAME_DATA = {
    "learning_rate": 0.0,
    "weight_decay": 0.0,
}  # weights never change, so predictions do not depend on the loss


class PopsLabels(Trainer):
    """The loss of the user takes the labels out of the batch."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        inputs.pop("audio_labels")
        outputs = model(**inputs)
        loss = outputs.logits.float().pow(2).mean()
        return (loss, outputs) if return_outputs else loss


def assert_same(actual: TokenStatistics | None, expected: TokenStatistics | None) -> None:
    assert actual is not None and expected is not None
    for name in ("rows", "nll", "accuracy", "top5", "entropy", "usage", "nll_shift0"):
        np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), rtol=1e-4, err_msg=name)


@pytest.mark.setting("Own losses", "`compute_loss` that pops the labels", "shown")
def test_labels_that_compute_loss_pops_are_found_in_training_and_evaluation(tmp_path: Path) -> None:
    arguments = SAME_DATA | {"eval_strategy": "steps", "eval_steps": 2, "prediction_loss_only": True}
    expected, _ = capture_training(tmp_path, **arguments)
    captured, _ = capture_training(tmp_path, trainer=PopsLabels, **arguments)
    assert captured.errors == expected.errors == []
    for actual, reference in zip(captured.steps, expected.steps, strict=True):
        assert_same(actual.tokens, reference.tokens)
        assert {segment.role for segment in actual.batch.segments} == {Role.REFERENCE, Role.TARGET}
        assert actual.batch.segments == reference.batch.segments
        assert "audio_labels" in {summary.name for summary in actual.inputs}
        assert [reason.partition(":")[0] for reason in actual.missing] == ["loss ratio"]
        assert reference.missing == () and reference.loss_ratio is not None
        assert actual.flow.before_clipping
    assert_same(captured.evaluations[0].tokens, expected.evaluations[0].tokens)


def text_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )


def text_batch(samples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    tokens = [row["input_ids"][:12] % 60 for row in samples]
    ids = torch.stack(tokens)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.masked_fill(ids < 8, IGNORE)}


def text_training(directory: Path, *, trainer: type[Trainer] = Trainer, **options: Any) -> Captures:
    arguments = SAME_DATA | {"label_names": ["labels"], "remove_unused_columns": False}
    arguments |= options.pop("arguments", {})
    captures, _ = capture_training(
        directory, trainer=trainer, model=text_model(), options={"data_collator": text_batch} | options, **arguments
    )
    assert captures.errors == []
    return captures


def own_cross_entropy(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    return cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE)


@pytest.mark.parametrize(
    "options",
    [{"compute_loss_func": own_cross_entropy}, {"arguments": {"label_smoothing_factor": 0.1}}],
    ids=["compute_loss_func", "label_smoothing_factor"],
)
@pytest.mark.setting("Own losses", "`compute_loss_func`, `label_smoothing_factor`", "shown")
def test_labels_that_the_trainer_pops_are_found(options: dict[str, Any], tmp_path: Path) -> None:
    expected, captured = text_training(tmp_path), text_training(tmp_path, **options)
    for actual, reference in zip(captured.steps, expected.steps, strict=True):
        assert_same(actual.text, reference.text)
        assert actual.missing == ()
        assert actual.sample.text_labels.tolist() == reference.sample.text_labels.tolist()


class FusedLoss(Trainer):
    """As Liger kernels do: the weight of the head is multiplied in the loss, the head is not called."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        labels = inputs.pop("labels")
        hidden = self.fused(model, inputs)
        logits = hidden @ self.model.lm_head.weight.T
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE)
        return (loss, {}) if return_outputs else loss

    def fused(self, model: nn.Module, inputs: Any) -> torch.Tensor:
        """A forward of the whole model without its head, as patched `forward`s have it."""
        original = model.forward
        model.forward = lambda **kwargs: {"hidden": model.model(**kwargs).last_hidden_state}
        try:
            return model(**inputs)["hidden"]
        finally:
            model.forward = original


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.setting("Own losses", "a fused loss that does not call the head (Liger)", "shown")
def test_a_head_that_a_fused_loss_does_not_call_is_scored(bf16: bool, tmp_path: Path) -> None:
    expected = text_training(tmp_path, arguments={"bf16": bf16})
    captured = text_training(tmp_path, trainer=FusedLoss, arguments={"bf16": bf16})
    for actual, reference in zip(captured.steps, expected.steps, strict=True):
        assert_same(actual.text, reference.text)
        assert actual.sample.text_predicted.tolist() == reference.sample.text_predicted.tolist()
        assert actual.missing == ()


def test_the_audio_head_of_a_fused_loss_is_scored() -> None:
    inputs = batch(sample(5, 7, seed=1), sample(0, 3, seed=2))

    def captured(forward: Callable[[nn.Module], Any]) -> StepSnapshot:
        model = small_model().train()
        capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
        capture.attach(model)
        forward(model)
        capture.before_update(None)
        snapshot = capture.snapshot(1)
        assert capture.errors == []
        assert snapshot is not None
        return snapshot

    def fused(model: Any) -> None:
        names = {"input_ids", "attention_mask", "audio_input_ids", "audio_input_ids_mask"}
        model.forward = lambda **kwargs: model.model(**{name: kwargs[name] for name in names})
        model(**inputs)

    expected, actual = captured(lambda model: model(**inputs)), captured(fused)
    assert_same(actual.tokens, expected.tokens)
    trained = expected.sample.labels != IGNORE
    assert (actual.sample.predicted == expected.sample.predicted)[trained].all() and trained.any()
    assert (
        actual.tokens.rows.sum() == (batch(*[sample(5, 7, seed=1), sample(0, 3, seed=2)])["audio_labels"] != -100).sum()
    )


def test_a_head_whose_input_is_unknown_is_reported_with_the_reason() -> None:
    model, inputs = small_model().train(), batch(sample(5, 7, seed=1))
    model.forward = lambda **kwargs: {"logits": torch.zeros(1, K, V, requires_grad=True)}
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model)
    model(**inputs)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot.tokens is None
    assert any("codebooks 0-3" in reason and "fused loss" in reason for reason in snapshot.missing)


@pytest.mark.setting("Own losses", "labels that cannot be found", "reported missing")
def test_labels_that_are_nowhere_are_reported_with_the_fix() -> None:
    model, inputs = small_model().train(), batch(sample(5, 7, seed=1), sample(0, 3, seed=2))
    labelled = adapter_for(model).view(inputs)
    del inputs["audio_labels"]
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model)
    model(**inputs)
    snapshot = capture.snapshot(1)
    assert snapshot.tokens is None
    assert any("labels" in reason and "inputs.pop" in reason for reason in snapshot.missing)
    assert snapshot.batch.segments == labelled.segments, "the target is no reference, with labels or without"
    assert torch.equal(snapshot.batch.roles, labelled.roles)


def evaluated(*forwards: dict[str, Any]) -> tuple[EvaluationSnapshot, list[tuple[str, Exception]]]:
    model = small_model().eval()
    capture = EvaluationCapture(adapter=adapter_for(model))
    capture.attach(model)
    for inputs in forwards:
        with torch.no_grad():
            model(**inputs)
    snapshot = capture.snapshot(1)
    assert snapshot is not None
    return snapshot, capture.errors


def test_forwards_without_labels_do_not_count_in_an_evaluation() -> None:
    inputs = batch(sample(5, 7, seed=1), sample(0, 3, seed=2))
    plain = batch(sample(4, 6, seed=3))
    del plain["audio_labels"]
    one_position = plain | {"logits_to_keep": 1}
    no_batch = {"inputs_embeds": torch.zeros(1, 3, small_model().config.hidden_size)}
    expected, _ = evaluated(inputs)
    snapshot, errors = evaluated(plain, one_position, no_batch, inputs, one_position, no_batch)
    assert errors == [] and snapshot.missing == expected.missing == ()
    assert_same(snapshot.tokens, expected.tokens)
    alone, errors = evaluated(plain)
    assert alone.tokens is None and errors == [] and any("inputs.pop" in reason for reason in alone.missing)
    _, errors = evaluated(no_batch)
    assert [part for part, _ in errors] == ["evaluation"]


def test_a_batch_that_the_loop_passes_gives_its_labels() -> None:
    model = small_model().train()
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model)
    capture.batch(batch(sample(5, 7, seed=1)))
    without_labels = {name: value for name, value in batch(sample(5, 7, seed=1)).items() if name != "audio_labels"}
    model(**without_labels)
    snapshot = capture.snapshot(1)
    assert snapshot.tokens.rows.sum() == (SAMPLE_LABELS != IGNORE).sum()


SAMPLE_LABELS = batch(sample(5, 7, seed=1))["audio_labels"]


def test_a_batch_of_another_step_gives_no_labels() -> None:
    model = small_model().train()
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model)
    capture.batch(batch(sample(5, 7, seed=2)))
    without_labels = {name: value for name, value in batch(sample(5, 7, seed=1)).items() if name != "audio_labels"}
    model(**without_labels)
    snapshot = capture.snapshot(1)
    assert snapshot.tokens is None and snapshot.missing != ()


def test_a_forward_without_gradients_does_not_count_as_the_step() -> None:
    model, inputs = small_model().train(), batch(sample(5, 7, seed=1))
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens"}))
    capture.attach(model)
    model(**inputs)
    with torch.no_grad():
        model(**inputs)
    assert capture.snapshot(1).tokens.rows.sum() == (SAMPLE_LABELS != IGNORE).sum()


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed")
@pytest.mark.parametrize("label_smoothing_factor", [0.0, 0.1])
@pytest.mark.setting("Own losses", "TRL `SFTTrainer`", "shown")
def test_the_sft_trainer_of_trl_shows_its_predictions(label_smoothing_factor: float, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    captures = Captures()
    model = text_model()
    rows = [{name: value[0].tolist() for name, value in text_batch([row]).items()} for row in SAMPLES]
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, report_to="none", use_cpu=True,
            save_strategy="no", disable_tqdm=True, bf16=False, label_smoothing_factor=label_smoothing_factor,
            dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False, learning_rate=0.0,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        data_collator=lambda rows: {name: torch.tensor([row[name] for row in rows]) for name in rows[0]},
        callbacks=[captures],
        processing_class=tokenizer(),
    )  # fmt: skip
    batches = []
    original = trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, **kwargs: (
        batches.append(dict(inputs)) or original(model, inputs, **kwargs)
    )
    trainer.train()
    assert captures.errors == []
    for snapshot, inputs in zip(captures.steps, batches, strict=True):
        with torch.no_grad():
            logits = text_model()(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        nll = cross_entropy(logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten(), ignore_index=IGNORE)
        assert snapshot.text.nll[0] == pytest.approx(nll.item(), rel=1e-4)
        assert snapshot.text.rows[0] == (inputs["labels"][:, 1:] != IGNORE).sum()
        assert snapshot.missing == ()


def tokenizer() -> PreTrainedTokenizerFast:
    words = {word: number for number, word in enumerate(["<pad>", "<bos>", "<eos>", *map(str, range(61))])}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<pad>")), pad_token="<pad>", eos_token="<eos>"
    )
