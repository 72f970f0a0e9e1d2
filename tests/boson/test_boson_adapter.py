"""`BosonAdapter` on the transformers version that `boson_multimodal` pins."""

from functools import wraps
from typing import Any

import pytest
import torch
from boson_model import AUDIO_EOS, AUDIO_OUT, AUDIO_OUT_BOS, BOS, DELAY, EOS, K, V, WithLoss, boson_model, loss_of
from measure import NEEDS, measure
from test_boson_layout import PLAIN, REFERENCE, TWO_TURNS, collated

from tracker_logging.families import Prompt, Role, SamplingSettings, adapter_for, first_frame
from tracker_logging.families.batches import named_arguments
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.sdpa_tap import calls_sdpa, tap_attention
from tracker_logging.probes.tap import CannotTapError
from tracker_logging.testing import assert_adapter


def prompt(*, reference: int = 5, seed: int = 1, max_frames: int = 6) -> Prompt:
    """As our processor makes it: the native layout, a run of placeholders for each frame."""
    codes = torch.randint(0, BOS, (K, reference), generator=torch.Generator().manual_seed(seed))
    frames = apply_delay(codes, bos=BOS, eos=EOS)
    run = [AUDIO_OUT] * (len(frames) - K + 1) + [DELAY] * (K - 1)
    tokens = [1, 5, AUDIO_OUT_BOS, *run, AUDIO_EOS, 9, 8, AUDIO_OUT_BOS]
    return Prompt(token_ids=torch.tensor(tokens), audio_codes=frames, max_frames=max_frames, seed=seed)


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        ("dual_ffn", []),
        ("dual_ffn_fast_forward", ["attention"]),  # audio positions of a fast-forward layer attend to nothing
    ],
)
def test_a_layer_without_an_audio_ffn_has_no_audio_path(kind: str, failed: list[str]) -> None:
    model = boson_model(audio_adapter_type=kind, audio_dual_ffn_layers=[1])
    adapter = adapter_for(model)
    assert [layer.audio_ffn is None for layer in adapter.layers()] == [True, False]
    inputs = named_arguments(model, (collated(REFERENCE, PLAIN),), {})
    capture = StepCapture(adapter=adapter, needs=NEEDS)
    trained = WithLoss(model).train()
    capture.attach(trained)
    trained(**inputs)["loss"].backward()
    capture.before_update(None)
    snapshot = capture.snapshot(1)
    assert [part for part, _ in capture.errors] == failed
    assert snapshot is not None and snapshot.activations is not None and snapshot.tokens is not None
    text, audio = snapshot.activations.rms.T
    assert torch.isfinite(torch.as_tensor(text)).all()
    assert torch.isnan(torch.as_tensor(audio)).tolist() == [True, False]


def test_every_parameter_has_its_component() -> None:
    model = boson_model(skip_audio_tower=False)
    adapter = adapter_for(model)
    components = {name: adapter.component(name) for name, _ in model.named_parameters()}
    assert {component for component, _ in components.values()} == {
        "attention_q", "attention_k", "attention_v", "attention_o", "text_ffn", "audio_ffn", "norms", "embeddings",
        "heads", "encoder",
    }  # fmt: skip
    assert components["layers.1.audio_mlp.up_proj.weight"] == ("audio_ffn", 1)
    assert components["audio_codebook_embeddings.weight"] == ("embeddings", None)
    assert components["audio_decoder_proj.audio_lm_head.weight"] == ("heads", None)


@pytest.mark.parametrize("row", [REFERENCE, PLAIN], ids=["reference and target", "target"])
def test_attention_is_the_models_own(row: list[int]) -> None:
    """The tap's sums against the weights that the eager class returns."""
    inputs = named_arguments(boson_model(), (collated(row),), {})
    with torch.no_grad():
        weights = boson_model(attention="eager").eval()(**inputs, output_attentions=True).attentions
    model = boson_model()
    roles = adapter_for(model).view(inputs).roles[0]
    measured = measure(WithLoss(model), adapter_for(model), inputs)["attention.mass"]
    groups = [(roles == role).nonzero().squeeze(-1) for role in (Role.TEXT, Role.REFERENCE, Role.TARGET)]
    for layer, layer_weights in enumerate(weights):
        for query, rows in enumerate(groups):
            for key, columns in enumerate(groups):
                if len(rows) and len(columns):
                    expected = layer_weights[0][:, rows][:, :, columns].sum(dim=-1).mean(dim=-1).double()
                    torch.testing.assert_close(measured[layer, :, query, key], expected, rtol=1e-4, atol=1e-6)


def test_eager_attention_cannot_be_tapped_and_is_reported_missing() -> None:
    modules = [layer.self_attn for layer in boson_model(attention="eager").layers]
    assert not any(calls_sdpa(module) for module in modules)
    with pytest.raises(CannotTapError):
        tap_attention(modules, lambda index, call: None)
    model = WithLoss(boson_model(attention="eager")).train()
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model)
    model(**named_arguments(model, (collated(REFERENCE, PLAIN),), {}))["loss"].backward()
    snapshot = capture.snapshot(1)
    assert capture.errors == []
    assert snapshot is not None
    assert snapshot.attention is None
    assert [part for part in snapshot.missing if part.startswith("attention: LlamaAttention")]


def test_whisper_features_use_the_text_ffn_and_all_parts_are_measured() -> None:
    inputs = named_arguments(boson_model(), (collated(REFERENCE, PLAIN, features=True),), {})
    model = boson_model(skip_audio_tower=False)
    numbers = measure(WithLoss(model), adapter_for(model), inputs)
    assert torch.isfinite(numbers["rms"]).all()
    assert int(numbers["missing"]) == 0


def test_gradients_are_read_before_clipping_when_the_trainer_computes_the_loss() -> None:
    inputs = named_arguments(boson_model(), (collated(REFERENCE, PLAIN),), {})
    wrapped = WithLoss(boson_model())
    expected = measure(wrapped, adapter_for(wrapped), inputs)
    model = boson_model().train()
    adapter = adapter_for(model)
    capture = StepCapture(adapter=adapter, needs=NEEDS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    capture.attach(model)
    loss_of(model(**inputs), inputs).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    capture.before_update(optimizer)
    snapshot = capture.snapshot(1)
    assert capture.errors == []
    assert snapshot is not None
    assert snapshot.losses == ()
    for (component, layer), norm in snapshot.flow.gradient_norm.items():
        torch.testing.assert_close(
            torch.tensor(norm),
            expected[f"gradient.{component}.{layer}"].double(),
            rtol=1e-5,
            atol=1e-8,
            check_dtype=False,
        )


def test_a_lora_inside_a_trainers_wrapper_has_lora_components() -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed in this environment")
    model = peft.get_peft_model(boson_model(), peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"]))
    inputs = named_arguments(boson_model(), (collated(REFERENCE, PLAIN),), {})
    wrapped = WithLoss(model)
    numbers = measure(wrapped, adapter_for(wrapped), inputs)
    trained = {name.split(".")[1] for name in numbers if name.startswith("gradient.")}
    assert trained == {"lora_attention_q", "lora_text_ffn", "lora_audio_ffn"}
    assert int(numbers["missing"]) == 0


def test_generation_is_repeatable_per_prompt() -> None:
    adapter = adapter_for(boson_model().eval())
    settings = SamplingSettings(temperature=1.0, top_k=10)
    prompts = [prompt(seed=1), prompt(seed=2, reference=3)]
    both = adapter.generate(prompts, settings)
    again = adapter.generate(prompts[1:], settings)
    assert (both[1].codes == again[0].codes).all()
    for clip in both:
        assert clip.codes.shape[0] == K
        assert clip.codes.shape[1] <= 6
        assert clip.codes.size == 0 or (clip.codes.min() >= 0 and clip.codes.max() < V - 2)


def test_generation_without_reference_works_and_is_cut_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = boson_model().eval(), []
    monkeypatch.setattr(first_frame, "clock", lambda: float(len(calls)))
    model.register_forward_hook(lambda *_: calls.append(None))
    with torch.no_grad():  # the end code is never chosen
        model.audio_decoder_proj.audio_lm_head.weight.view(K, V, -1)[:, EOS] = 0
        model.norm.weight.zero_()
        model.audio_decoder_proj.audio_lm_head.weight.zero_()
    alone = Prompt(token_ids=torch.tensor([1, 5, AUDIO_OUT_BOS]), audio_codes=None, max_frames=4, seed=0)
    clip = adapter_for(model).generate([alone], SamplingSettings())[0]
    assert clip.stop_reason == "max_length"
    assert clip.codes.tolist() == [[0] * 4] * K
    assert clip.first_frame_s == 1 + (K - 1) + 1  # the row of begin codes, the longest delay, the row of its code


def test_the_codec_of_the_original() -> None:
    for part in ("torchaudio", "audiotools", "dac"):
        pytest.importorskip(part, reason=f"boson's codec needs {part}, which cannot be installed for this torch")
    from boson_multimodal.audio_processing.higgs_audio_tokenizer import HiggsAudioTokenizer

    assert callable(HiggsAudioTokenizer)


def with_loss_inside() -> torch.nn.Module:
    """The suite asks the model itself for its loss, which upstream leaves to others."""
    model = boson_model()

    class LossInside(type(model)):
        @wraps(type(model).forward)
        def forward(self, **inputs: Any) -> Any:
            output = super().forward(**inputs)
            if inputs.get("label_audio_ids") is not None:
                output["loss"] = loss_of(output, inputs)
            return output

    model.__class__ = LossInside
    return model


@pytest.mark.parametrize("rows", [[REFERENCE, PLAIN, TWO_TURNS], [TWO_TURNS, TWO_TURNS]], ids=["both streams", "out"])
def test_the_conformance_suite_is_green(rows: list[list[int]]) -> None:
    model = with_loss_inside()
    inputs = named_arguments(model, (collated(*rows),), {})
    assert_adapter(adapter_for(model), inputs, prompts=[prompt(seed=1), prompt(seed=2, reference=3)])
