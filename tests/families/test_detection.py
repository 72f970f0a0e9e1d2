"""Which adapter is used: through wrappers, from packages, for unknown classes."""

import logging
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_families import FAMILIES, csm, dia, higgs, qwen3
from torch import nn
from transformers import MusicgenDecoderConfig, MusicgenForCausalLM, Trainer, TrainingArguments

from tracker_logging import strategic_callbacks
from tracker_logging.families import UnknownModelError, adapter_for, unwrap
from tracker_logging.families.csm.adapter import CsmAdapter
from tracker_logging.families.dia.adapter import DiaAdapter
from tracker_logging.families.higgs_v2.adapter import HiggsV2Adapter
from tracker_logging.families.text.adapter import TextAdapter


class ValueHeadModel(nn.Module):
    """The wrapper that trl uses to add a value head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.pretrained_model = model
        self.v_head = nn.Linear(32, 1)


class Engine(nn.Module):
    """The wrapper of DDP, DeepSpeed and others."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.module = model


class OwnWrapper(nn.Module):
    """What scripts write around a model, to add a loss or a projection."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.llm, self.projection, self.config = model, nn.Linear(4, 4), model.config

    def forward(self, **batch: torch.Tensor) -> object:
        return self.llm(**batch)


def with_lora(model: nn.Module) -> nn.Module:
    return get_peft_model(model, LoraConfig(target_modules=["q_proj"], r=2, task_type=None))


WRAPPERS = {
    "compile": torch.compile,
    "an engine": Engine,
    "trl's value head": ValueHeadModel,
    "a script's own wrapper": OwnWrapper,
    "a script's own wrapper around lora": lambda model: OwnWrapper(with_lora(model)),
    "lora": with_lora,
    "an engine around a compiled model with lora": lambda model: Engine(torch.compile(with_lora(model))),
    "a value head around lora": lambda model: ValueHeadModel(with_lora(model)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_model_is_found_inside_its_wrapper(wrapper: str) -> None:
    model = higgs(text_head=False)
    wrapped = WRAPPERS[wrapper](model)
    assert unwrap(wrapped) is model
    assert adapter_for(wrapped).core is model


def test_a_model_is_found_inside_fsdp1_and_fsdp2(tmp_path: Path) -> None:
    from torch import distributed
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = qwen3()
        first = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))
        assert (
            unwrap(first) is model and unwrap(nn.parallel.DistributedDataParallel(higgs(text_head=False))) is not None
        )
        second = dia()
        fully_shard(second, mesh=torch.distributed.init_device_mesh("cpu", (1,)))
        assert isinstance(adapter_for(second), DiaAdapter) and unwrap(second) is second
    finally:
        distributed.destroy_process_group()


def test_a_wrapper_of_two_models_is_refused() -> None:
    wrapped = OwnWrapper(higgs(text_head=False))
    wrapped.teacher, wrapped.config = higgs(text_head=False), None
    with pytest.raises(UnknownModelError, match="OwnWrapper"):
        adapter_for(wrapped)


def test_each_family_gets_its_adapter() -> None:
    adapters = {name: type(adapter_for(family.model())) for name, family in FAMILIES.items()}
    assert adapters == {
        "higgs": HiggsV2Adapter, "higgs with a text head": HiggsV2Adapter, "csm": CsmAdapter, "dia": DiaAdapter,
        "qwen3": TextAdapter, "llama": TextAdapter,
    }  # fmt: skip


def test_a_warning_tells_that_a_model_is_logged_as_text(caplog: pytest.LogCaptureFixture) -> None:
    adapter_for(qwen3())
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "Qwen3ForCausalLM" in message and "text model" in message and "docs/adapters.md" in message


def test_a_causal_model_of_codebooks_is_not_logged_as_text() -> None:
    decoder = MusicgenDecoderConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, num_codebooks=4,
        pad_token_id=31, bos_token_id=31,
    )  # fmt: skip
    with pytest.raises(
        UnknownModelError, match=r"MusicgenForCausalLM.*is not shown: it predicts the codebooks of music.*adapter"
    ):
        adapter_for(MusicgenForCausalLM(decoder))


class SpeechThing(nn.Module):
    """A model of an unknown kind."""

    def __init__(self) -> None:
        super().__init__()
        self.model = qwen3()  # a language model inside is a part, not the model

    def forward(self, input_ids: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        return {"loss": self.model(input_ids).logits.square().mean()}


def trainer(directory: Path, **options: object) -> Trainer:
    family = FAMILIES["qwen3"]
    arguments = TrainingArguments(
        output_dir=str(directory), max_steps=1, report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True,
        remove_unused_columns=False,
    )  # fmt: skip
    return Trainer(
        model=SpeechThing(), args=arguments, train_dataset=family.rows(4), data_collator=family.collate,
        callbacks=strategic_callbacks(report_to=["jsonl"], **options),
    )  # fmt: skip


def test_an_unknown_class_is_refused_before_the_first_step_with_advice(tmp_path: Path) -> None:
    refused = trainer(tmp_path)
    with pytest.raises(UnknownModelError, match=r"SpeechThing.*not guessed.*adapters\.md.*adapter=.*entry point"):
        refused.train()
    assert refused.state.global_step == 0


def test_an_unknown_class_may_be_trained_with_the_trainers_own_numbers(tmp_path: Path) -> None:
    plain = trainer(tmp_path, loggers=())
    plain.train()
    assert plain.state.global_step == 1


def test_a_given_adapter_that_lacks_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"object has no .*audio_heads"):
        trainer(tmp_path, adapter=object()).train()


PACKAGE = """
from tracker_logging.families.text.adapter import TextAdapter

class TheirAdapter(TextAdapter):
    family = "theirs"

def broken(core):
    raise RuntimeError("no such luck")

def nothing(core):
    return object()
"""
ENTRIES = """
[tracker_logging.families]
Qwen3PreTrainedModel = their_package:nothing
qwen3 = their_package:TheirAdapter
llama = their_package:missing
csm = their_package:broken
CsmPreTrainedModel = their_package:nothing
"""


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A third party's package with entry points, as pip would install it."""
    (tmp_path / "their_package.py").write_text(PACKAGE)
    info = tmp_path / "their_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("their_package", None)


@pytest.mark.usefixtures("their_package")
def test_an_adapter_of_another_package_is_used_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tracker_logging")
    adapter = adapter_for(with_lora(qwen3()))
    assert isinstance(adapter, import_module("their_package").TheirAdapter)
    assert "their_package:TheirAdapter (their-package 1.2)" in caplog.text
    assert "cannot be used" not in caplog.text  # the model's type comes before its classes


@pytest.mark.usefixtures("their_package")
def test_a_broken_entry_point_is_named_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(adapter_for(FAMILIES["llama"].model()), TextAdapter)
    assert "'llama' of their_package:missing (their-package 1.2) cannot be used (AttributeError" in caplog.text
    assert isinstance(adapter_for(csm()), CsmAdapter)
    assert "RuntimeError: no such luck" in caplog.text
    assert "'CsmPreTrainedModel'" in caplog.text and "has no audio_heads, audio_nll" in caplog.text
