"""The adapter's view of a batch, from its inputs alone, equals the model's own expansion."""

import dataclasses
from typing import Any

import pytest
import torch
from boson_model import AUDIO_EOS, AUDIO_IN, AUDIO_OUT, AUDIO_OUT_BOS, BOS, EOS, IGNORE, PAD, Batch, K, boson_model

from tracker_logging.families import Role, adapter_for
from tracker_logging.families.batches import named_arguments
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.probes.audit import audit_batch

REFERENCE = [5, 6, AUDIO_IN, AUDIO_EOS, 7, AUDIO_OUT_BOS, AUDIO_OUT, AUDIO_EOS]
PLAIN = [5, 9, AUDIO_OUT_BOS, AUDIO_OUT, AUDIO_EOS]
TWO_TURNS = [5, AUDIO_OUT_BOS, AUDIO_OUT, AUDIO_EOS, 7, 8, AUDIO_OUT_BOS, AUDIO_OUT, AUDIO_EOS]


def collated(*rows: list[int], features: bool = False, seed: int = 0) -> Any:
    """A batch from upstream's own collator; the last `<|AUDIO_OUT|>` of each row is trained, no other."""
    from boson_multimodal.data_collator.higgs_audio_collator import HiggsAudioSampleCollator
    from boson_multimodal.dataset.chatml_dataset import ChatMLDatasetSample

    generator = torch.Generator().manual_seed(seed)
    collator = HiggsAudioSampleCollator(
        whisper_processor=None, audio_in_token_id=AUDIO_IN, audio_out_token_id=AUDIO_OUT, pad_token_id=PAD,
        audio_stream_bos_id=BOS, audio_stream_eos_id=EOS, encode_whisper_embed=False, return_audio_in_tokens=True,
        audio_num_codebooks=K, use_delay_pattern=True,
    )  # fmt: skip
    samples = []
    for row in rows:
        tokens = torch.tensor(row)
        lengths = torch.randint(3, 9, (sum(token in (AUDIO_IN, AUDIO_OUT) for token in row),), generator=generator)
        codes = torch.randint(0, BOS, (K, int(lengths.sum())), generator=generator)
        labels = tokens.clone()
        labels[(tokens == AUDIO_OUT).nonzero()[:-1]] = IGNORE
        labels[tokens == AUDIO_IN] = IGNORE
        samples.append(
            ChatMLDatasetSample(
                input_ids=tokens, label_ids=labels, audio_ids_concat=codes,
                audio_ids_start=torch.cat([torch.tensor([0]), lengths[:-1]]).cumsum(0),
                audio_waveforms_concat=None, audio_waveforms_start=None, audio_sample_rate=None,
                audio_speaker_indices=torch.tensor([]), audio_label_ids_concat=codes,
            )
        )  # fmt: skip
    batch = collator(samples)
    if features:
        count = sum(row.count(AUDIO_IN) for row in rows)
        mask = torch.zeros(count, 40, dtype=torch.int64)
        for at in range(count):
            mask[at, : 24 + 8 * at] = 1
        batch.audio_features = torch.randn(count, 8, 40, generator=generator)
        batch.audio_feature_attention_mask = mask
    return batch


BATCHES = {
    "one": [REFERENCE],
    "several": [REFERENCE, PLAIN, TWO_TURNS],
    "no reference": [PLAIN, PLAIN],
    "long text": [REFERENCE, [*range(1, 40), *PLAIN]],
}


@pytest.mark.parametrize("features", [False, True], ids=["codes", "features and codes"])
@pytest.mark.parametrize("name", BATCHES)
def test_the_view_equals_the_models_expanded_batch(name: str, features: bool) -> None:
    rows = BATCHES[name]
    batch = collated(*rows, features=features)
    model = boson_model(skip_audio_tower=not features).eval()
    adapter = adapter_for(model)
    inputs = named_arguments(model, (batch,), {})
    view = adapter.view(inputs)
    with torch.no_grad():
        output = model(**inputs)
    assert torch.equal(view.token_ids, output.expanded_input_ids)
    assert torch.equal(view.attention_mask, output.attention_mask.bool())
    assert torch.equal(view.text_labels, output.expanded_labels)
    audio = (view.roles == Role.REFERENCE) | (view.roles == Role.TARGET)
    assert torch.equal(audio, output.audio_in_mask | output.audio_out_mask)
    coded = (view.codes >= 0).all(dim=-1)
    assert torch.equal(coded, output.audio_in_discrete_codes_mask | output.audio_out_mask)
    head = adapter.audio_heads()[0]
    assert torch.equal(head.rows(view), output.audio_out_mask.flatten().nonzero().squeeze(-1))
    assert torch.equal(view.codes[output.audio_out_mask], inputs["audio_out_ids"].T)
    if inputs["audio_in_ids"].shape[1]:
        assert torch.equal(view.codes[output.audio_in_discrete_codes_mask], inputs["audio_in_ids"].T)
    targets = [segment for segment in view.segments if segment.role == Role.TARGET]
    assert [segment.sample for segment in targets] == list(range(len(rows)))


def test_the_target_is_the_last_trained_audio_and_its_frames_exclude_the_delay() -> None:
    batch = collated(REFERENCE, TWO_TURNS)
    view = adapter_for(boson_model()).view(named_arguments(boson_model(), (batch,), {}))
    roles = [(segment.sample, segment.role.name) for segment in view.segments]
    assert roles == [(0, "REFERENCE"), (0, "TARGET"), (1, "REFERENCE"), (1, "TARGET")]
    for segment in view.segments:
        assert segment.frames == segment.stop - segment.start - K - 1


def test_upstreams_own_labels_pass_the_audit() -> None:
    model = boson_model()
    audit = audit_batch(
        adapter_for(model).view(named_arguments(model, (collated(REFERENCE, PLAIN),), {})), adapter_for(model)
    )
    assert audit.delay_violations == 0
    assert audit.crossing_spans == 0
    assert audit.placeholder_mismatch == 0


def test_a_batch_with_too_few_audios_is_mismatched_before_the_model_refuses_it() -> None:
    batch = collated(REFERENCE, PLAIN)
    batch.audio_out_ids_start = batch.audio_out_ids_start[:1]
    model = boson_model()
    view = adapter_for(model).view(named_arguments(model, (batch,), {}))
    assert view.mismatched == (0, 1)


def test_the_first_sample_alone_gives_the_same_numbers() -> None:
    model = boson_model().eval()
    adapter = adapter_for(model)
    inputs = named_arguments(model, (collated(TWO_TURNS, REFERENCE, PLAIN),), {})
    alone = adapter.audio_nll(adapter.first_sample(inputs))
    torch.testing.assert_close(alone, adapter.audio_nll(inputs)[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["dataclass", "object", "mapping", "keywords"])
def test_a_batch_is_accepted_as_mapping_dataclass_and_object(kind: str) -> None:
    batch = collated(REFERENCE, PLAIN)
    content = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    model = boson_model()
    if kind == "keywords":
        inputs = named_arguments(model, (), content)
    else:
        names = [field.name for field in dataclasses.fields(Batch)]
        passed = {"dataclass": batch, "object": type("Extended", (), {})(), "mapping": content}[kind]
        if kind == "object":
            vars(passed).update({name: content[name] for name in names})
        inputs = named_arguments(model, (passed,), {})
    view = adapter_for(model).view(inputs)
    assert len(view.segments) == 3


def test_the_delay_pattern_is_upstreams() -> None:
    batch = collated(PLAIN)
    clip = batch.audio_out_ids[:, 1:]
    frames = clip.shape[1] - K
    codes = torch.stack([clip[k, k : k + frames] for k in range(K)])
    assert torch.equal(apply_delay(codes, bos=BOS, eos=EOS).T, batch.audio_out_ids)
