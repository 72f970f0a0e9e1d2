"""VibeVoice of the real class: every number against the formulas written out here, its rows, its voices.

The training draws noise and timesteps from torch's generator; they are drawn again here with the same seed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList, VibeVoiceProcessor

pytest.importorskip("diffusers")

from test_family_processors import byte_tokenizer, wave
from test_pocket_tts import samples
from tiny_latents import HOP, D, vibevoice

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families import Prompt, Role, SamplingSettings, adapter_for
from tracker_logging.families.vibevoice.processor import SYSTEM
from tracker_logging.metrics.latents import LEVELS
from tracker_logging.probes.capture import StepCapture
from tracker_logging.testing import assert_adapter


def tiny() -> tuple[Any, Any]:
    return vibevoice(byte_tokenizer())


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two samples: the second has no voice."""
    processor, (first, second, *_) = tiny()[1], samples(tmp_path_factory.mktemp("clips"))
    return processor.collator()([processor.features(first), processor.features(second, reference=None)])


def watched(batch: dict[str, Any]) -> tuple[Any, list[Any], torch.Tensor, Any]:
    """Snapshot of a training step; (noisy, timesteps, conditions, output) of its diffusion head; latents; the model."""
    model = tiny()[0].train()
    calls: list[Any] = []
    latents: list[torch.Tensor] = []
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"tokens", "attention", "gradients"}))
    capture.attach(model)
    handles = [
        model.model.diffusion_head.register_forward_hook(lambda _, args, out: calls.append((*args, out.detach()))),
        model.model.multi_modal_projector.register_forward_pre_hook(lambda _, args: latents.append(args[0].detach())),
    ]
    torch.manual_seed(7)
    output = model(**batch)
    output.loss.backward()
    for handle in handles:
        handle.remove()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    capture.before_update(optimizer)
    capture.after_update(optimizer)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None
    assert snapshot.flow is not None and snapshot.flow.before_clipping  # our own calls of the head change no state
    counts = (batch["padding_mask"].sum(dim=1) / HOP).ceil().long()
    valid = torch.arange(latents[0].shape[1]) < counts[:, None]
    last = tuple(part.detach() for part in calls[-1])  # the calls before it are of the sampled latents
    return snapshot, last, latents[0][valid], (model, output)


@cache
def _schedule() -> tuple[torch.Tensor, torch.Tensor]:
    """Signal and noise of the squared cosine schedule with 1,000 steps, as published (Nichol and Dhariwal, 2021)."""
    share = [np.cos((at / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 for at in range(1001)]
    betas = [min(1 - after / before, 0.999) for before, after in pairwise(share)]
    kept = np.cumprod([1 - beta for beta in betas])
    return torch.tensor(np.sqrt(kept)), torch.tensor(np.sqrt(1 - kept))


def test_a_row_is_the_layout_of_the_chat_template(tmp_path: Path) -> None:
    model, processor = tiny()
    one = samples(tmp_path)[1]
    config, tokenizer = model.config, processor.tokenizer
    row, prompt = processor.features(one), processor.prompt_features(one)
    shown = tokenizer.decode([token for token in row["input_ids"].tolist() if token < len(tokenizer)])
    assert " Voice input:\n Speaker 0:\n Text input:\n Speaker 0: Sentence 1.\n Speech output:\n" in shown
    frames = (row["input_ids"] == config.audio_token_id).nonzero().flatten()
    assert len(frames) * HOP == len(row["input_values"])
    assert torch.equal(row["acoustic_loss_mask"].nonzero().flatten(), frames - 1)
    length = len(prompt["input_ids"])
    assert row["input_ids"][:length].tolist() == prompt["input_ids"].tolist()
    assert row["input_ids"][length - 1] == config.audio_bos_token_id
    assert (row["labels"][:length] == -100).all() and (row["labels"][length:] == row["input_ids"][length:]).all()
    assert row["input_ids"][-2:].tolist() == [config.audio_eos_token_id, config.eos_token_id]
    assert len(prompt["audio_input_ids"]) + HOP * int((frames >= length).sum()) == len(row["input_values"])
    loudness = 20 * np.log10(row["input_values"][: HOP * int((frames < length).sum())].square().mean().sqrt())
    assert loudness == pytest.approx(-25, abs=1.0)  # of the feature extractor


def dialogue(folder: Path) -> VoiceSample:
    """Voices 2 and 1, numbered from 1, and a turn of each."""
    one, two, *_ = samples(folder)
    return replace(
        one, reference_text="[SPEAKER2] Mine.", more_references=(Utterance("[SPEAKER1] Yours.", two.reference_audio),),
        target_text="[SPEAKER1] Good day.", more_targets=(Utterance("[SPEAKER2] And to you.", two.target_audio),),
    )  # fmt: skip


def test_a_dialogue_equals_that_of_the_processor_of_transformers(tmp_path: Path) -> None:
    model, ours = tiny()
    config, tokenizer, sample = model.config, byte_tokenizer(), dialogue(tmp_path)
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    assert tokenizer.convert_tokens_to_ids(tokens[2]) == config.audio_token_id
    theirs = VibeVoiceProcessor(ours.extractor, tokenizer)
    voices = "".join(f" Speaker {at}:{tokens[0]}{tokens[2]}{tokens[1]}\n" for at in range(2))
    turns = (" Speaker 0: Good day.\n", " Speaker 1: And to you.\n")
    parts = [f"{SYSTEM} Voice input:\n{voices} Text input:\n", *turns, f" Speech output:\n{tokens[0]}"]
    first, second = sample.references[1].audio, sample.references[0].audio  # by the number of the voice
    of_row = theirs(text="".join(parts), audio=[wave(first), wave(second)], return_tensors="pt")
    of_prompt = theirs(text="".join((*parts[:2], parts[3])), audio=[wave(first), wave(second)], return_tensors="pt")
    row, prompt = ours.features(sample), ours.prompt_features(sample)
    assert prompt["input_ids"].tolist() == of_prompt["input_ids"][0].tolist()
    length = of_row["input_ids"].shape[1]
    assert row["input_ids"][:length].tolist() == of_row["input_ids"][0].tolist()
    frames = [-(-len(wave(path)) // HOP) for path in (first, second, *(each.audio for each in sample.targets))]
    assert row["input_ids"][length:].tolist() == [
        *[config.audio_token_id] * sum(frames[2:]), config.audio_eos_token_id, config.eos_token_id
    ]  # fmt: skip
    given = torch.cat([values[0, : HOP * count] for values, count in zip(of_row["input_values"], frames, strict=False)])
    assert torch.equal(prompt["audio_input_ids"][:, 0], given)
    assert torch.equal(row["input_values"][: len(given)], given)
    assert len(row["input_values"]) == HOP * sum(frames)


def test_a_dialogue_is_trained_as_one_speech_and_its_voices_are_encoded_apart(tmp_path: Path) -> None:
    model, processor = tiny()
    adapter, sample = adapter_for(model.eval()), dialogue(tmp_path)
    batch = processor.collator()([processor.features(sample), processor.features(sample, reference=None)])
    found = [(segment.sample, segment.role) for segment in adapter.view(batch).segments]
    assert found == [(0, Role.REFERENCE), (0, Role.REFERENCE), (0, Role.TARGET), (1, Role.TARGET)]
    assert len(batch["input_values"]) == 4 and adapter.audio_nll(batch).isfinite().all()
    swapped = replace(sample, reference_text="[SPEAKER1] Mine.", target_text="[SPEAKER1] Good day.")
    swapped = replace(swapped, more_references=(Utterance("[SPEAKER2] Yours.", sample.more_references[0].audio),))
    other = processor.collator()([processor.features(swapped), processor.features(sample, reference=None)])
    assert torch.equal(other["input_values"][0], batch["input_values"][1])  # clips are in the order of voices
    features, given = processor.prompt_features(sample), list[torch.Tensor]()
    handle = model.model.audio_tower.encoder.register_forward_hook(lambda _, args, __: given.append(args[0]))
    prompt = Prompt(features["input_ids"], features["audio_input_ids"], max_frames=2, seed=3)
    adapter.generate([prompt], SamplingSettings())
    handle.remove()
    assert torch.equal(given[0], batch["input_values"][:2, :, : given[0].shape[2]])
    for text in ("[SPEAKER1] Mine. [SPEAKER2] Yours.", "Mine. [SPEAKER2] Yours."):
        with pytest.raises(DataError, match="a reference has several voices"):
            processor.features(replace(sample, reference_text=text))
    with pytest.raises(DataError, match="target text: has no words"):
        processor.features(replace(sample, more_targets=(Utterance("[SPEAKER1]", sample.target_audio),)))


@pytest.mark.parametrize("place", ["turns", "system"])
def test_a_single_voice_without_a_tag_is_that_of_the_target(place: str, tmp_path: Path) -> None:
    _, processor = tiny()
    plain = replace(samples(tmp_path)[0], references_in=place, reference_text="" if place == "system" else "Mine.")
    tagged = replace(plain, target_text=f"[SPEAKER1] {plain.target_text}")
    assert tagged.voices == 1
    for features in (processor.features, processor.prompt_features):
        for reference in ("own", plain, None):
            found, expected = (features(one, reference=reference)["input_ids"] for one in (tagged, plain))
            assert found.tolist() == expected.tolist()


def test_the_view_has_voice_text_and_speech(batch: dict[str, Any]) -> None:
    view = adapter_for(tiny()[0]).view(batch)
    found = [(segment.sample, segment.role, segment.lead) for segment in view.segments]
    assert found == [(0, Role.REFERENCE, 0), (0, Role.TARGET, 1), (1, Role.TARGET, 1)]
    token = tiny()[0].config.audio_token_id
    assert view.frame_labels is not None and torch.equal(view.frame_labels, batch["input_ids"] == token)
    unlabelled = {name: value for name, value in batch.items() if name not in ("labels", "acoustic_loss_mask")}
    assert {segment.role for segment in adapter_for(tiny()[0]).view(unlabelled).segments} == {Role.REFERENCE}


def test_the_loss_is_split_into_diffusion_by_level_and_tokens(batch: dict[str, Any]) -> None:
    snapshot, (noisy, steps, _, velocity), latents, (_, output) = watched(batch)
    alpha, sigma = (share[steps.long()].float().unsqueeze(-1) for share in _schedule())
    data = latents.repeat_interleave(4, dim=0)
    noise = (noisy - alpha * data) / sigma
    errors = (velocity - (alpha * noise - sigma * data)).square().mean(dim=1).double().numpy()
    found = snapshot.latents
    assert found.flow_loss == pytest.approx(errors.mean(), rel=1e-3)
    levels = np.minimum((sigma[:, 0] * LEVELS).long().numpy(), LEVELS - 1)
    assert found.draws.tolist() == [(levels == level).sum() for level in range(LEVELS)]
    for level in set(levels.tolist()):
        assert found.by_level[level] == pytest.approx(errors[levels == level].mean(), rel=1e-2)
    following = torch.cat([batch["labels"][:, 1:], torch.full((2, 1), -100)], dim=1)
    logs = output.logits.detach().log_softmax(dim=-1)
    nll = -logs.gather(-1, following.clamp(min=0).unsqueeze(-1))[..., 0][following >= 0].mean()
    assert output.loss.item() == pytest.approx(0.5 * float(nll) + 0.5 * errors.mean(), rel=1e-3)
    assert snapshot.text.nll == pytest.approx(float(nll), rel=1e-4)
    voice = int(batch["input_ids"][0].eq(tiny()[0].config.audio_token_id).sum()) - len(snapshot.latent_sample.losses)
    of_target = errors.reshape(-1, 4).mean(axis=1)[voice:][: len(snapshot.latent_sample.losses)]
    np.testing.assert_allclose(snapshot.latent_sample.losses, of_target, rtol=1e-2)
    np.testing.assert_allclose(snapshot.latent_sample.given, (latents / 0.8 + 0.1)[voice:][: len(of_target)], atol=1e-5)
    np.testing.assert_allclose(found.target_mean, latents.mean(dim=0), atol=1e-5)
    assert found.own_frame_seen == 0.0 and found.wrong_noise == 0.0


def test_samples_have_losses_words_and_gaps_of_text_and_voice(tmp_path: Path) -> None:
    model, processor = tiny()
    adapter, collate, others = adapter_for(model.train()), processor.collator(), samples(tmp_path)[1:3]
    with torch.no_grad():  # at random initialisation texts and voices hardly matter
        for weight in model.model.diffusion_head.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        for name, weight in model.model.language_model.named_parameters():
            if "_proj" in name:
                weight.mul_(10)
    rows = [processor.features(one) for one in others]
    batch = collate(rows)
    capture = StepCapture(adapter=adapter, needs=frozenset({"tokens", "gaps"}))
    capture.attach(model)
    torch.manual_seed(7)
    model(**batch).loss.backward()
    capture.before_update(None)
    state = torch.get_rng_state()
    found = capture.snapshot(1).sample_losses
    torch.manual_seed(7)
    model(**batch)
    assert torch.equal(state, torch.get_rng_state()) and capture.errors == [] and capture.missing == ()
    words = [adapter.words_in(processor.tokenizer.decode([i for i in one.text_ids if i < 400])) for one in found]
    assert words == ["Sentence 1.", "Sentence 2."]
    voice = adapter.view(batch).segments
    lengths = [HOP * (one.stop - one.start) for one in voice if one.role == Role.REFERENCE]
    waves = [row["input_values"][:length] for row, length in zip(rows, lengths, strict=True)]
    nll = adapter_for(model.eval()).audio_nll
    for at, loss in enumerate(found):
        own = nll(collate([rows[at]]))
        text = processor.features(replace(others[at], target_text=others[1 - at].target_text))
        other = waves[1 - at][torch.arange(lengths[at]) % lengths[1 - at]]
        heard = rows[at] | {"input_values": torch.cat([other, rows[at]["input_values"][lengths[at] :]])}
        for gap, one in ((loss.text_gap, text), (loss.reference_gap, heard)):
            expected = float(nll(collate([one])) - own)
            assert gap == pytest.approx(expected, abs=1e-5) and abs(expected) > 2e-5


def test_the_end_of_speech_is_the_choice_between_a_frame_and_the_end(batch: dict[str, Any]) -> None:
    snapshot, _, _, (model, output) = watched(batch)
    config, scores, ends = model.config, [], []
    for sample in range(2):
        ids = batch["input_ids"][sample].tolist()
        last = len(ids) - 1 - ids[::-1].index(config.audio_eos_token_id)
        first = last
        while ids[first - 1] == config.audio_token_id:
            first -= 1
        for at in range(first, last + 1):
            pair = output.logits[sample, at - 1, [config.audio_token_id, config.audio_eos_token_id]].detach()
            scores.append(float(pair.log_softmax(0)[int(at == last)]))
            ends.append((at == last, float(pair[1]) > float(pair[0])))
    assert snapshot.latents.eos_loss == pytest.approx(-np.mean(scores), rel=1e-4)
    assert snapshot.latents.eos_accuracy == pytest.approx(np.mean([true == said for true, said in ends]))
    assert snapshot.latents.eos_recall == pytest.approx(np.mean([said for true, said in ends if true]))


def test_latents_are_sampled_given_the_true_past(batch: dict[str, Any]) -> None:
    import diffusers

    snapshot, (_, _, conditions, _), latents, (model, _) = watched(batch)
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    scheduler.set_timesteps(3)
    made = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for step in scheduler.timesteps:
            times = torch.full((len(made),), float(step))
            made = scheduler.step(model.model.diffusion_head(made, times, conditions[::4]), step, made).prev_sample
    np.testing.assert_allclose(snapshot.latents.predicted_mean, made.mean(dim=0), atol=1e-4)
    np.testing.assert_allclose(snapshot.latents.predicted_std, made.std(dim=0, correction=0), atol=1e-4)


def test_the_recipe_of_transformers_is_found_to_see_its_frames_and_to_add_other_noise(batch: dict[str, Any]) -> None:
    """`output_labels=True` marks the frames themselves; the class builds the scheduler and draws ten timesteps."""
    given = {name: value for name, value in batch.items() if name not in ("noise_scheduler", "num_diffusion_steps")}
    token = tiny()[0].config.audio_token_id
    recipe = {**given, "acoustic_loss_mask": given["input_ids"] == token}
    snapshot, (noisy, steps, *_), latents, (_, output) = watched(recipe)
    assert snapshot.latents.own_frame_seen == 1.0 and snapshot.latents.wrong_noise == 1.0
    assert steps.max() < 10 and snapshot.latents.draws[:-1].sum() == 0  # the noise of the last ten timesteps
    assert torch.corrcoef(torch.stack([noisy.flatten(), latents.repeat_interleave(4, 0).flatten()]))[0, 1] < 0.2
    following = torch.cat([batch["labels"][:, 1:], torch.full((2, 1), -100)], dim=1)
    nll = -output.logits.detach().log_softmax(-1).gather(-1, following.clamp(min=0).unsqueeze(-1))[..., 0]
    diffusion = 2 * output.loss.item() - float(nll[following >= 0].mean())
    assert snapshot.latents.flow_loss == pytest.approx(diffusion, rel=1e-3)


def test_the_gap_has_the_same_noise_for_every_condition(batch: dict[str, Any]) -> None:
    model = tiny()[0].eval()
    adapter = adapter_for(model)
    first = adapter.audio_nll(batch)
    assert torch.equal(first, adapter.audio_nll(batch)) and first.shape == (2, 1)
    waves = batch["input_values"].clone()
    waves[0] = waves[0].flip(-1)
    changed = adapter.audio_nll({**batch, "input_values": waves})
    assert changed[0] != first[0] and changed[1] == first[1]  # only the first sample has a voice
    config, ids = model.config, batch["input_ids"][1]
    at = (ids == config.audio_token_id).nonzero().flatten()
    alpha, sigma = _schedule()
    with torch.no_grad():
        names = ("input_ids", "attention_mask", "input_values", "padding_mask")
        out = model.model(**{name: batch[name] for name in names}, sample=False)
        clip = batch["input_values"][2:, :, : HOP * len(at)]
        data = (model.model.audio_tower.encode(clip, sample=False).latents[0] - 0.1) * 0.8
        losses = []
        for draw in range(8):
            step = int((draw + 0.5) / 8 * 1000)
            noise = torch.stack(
                [torch.randn(8, D, generator=torch.Generator().manual_seed(frame))[draw] for frame in range(len(at))]
            )
            noisy = (alpha[step] * data + sigma[step] * noise).float()
            predicted = model.model.diffusion_head(
                noisy, torch.full((len(at),), float(step)), out.last_hidden_state[1, at - 1]
            )
            losses.append((predicted - (alpha[step] * noise - sigma[step] * data)).square().mean())
    assert first[1].item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)


def test_generation_stops_and_gives_the_latents_of_the_audio(tmp_path: Path) -> None:
    """With logits that choose three frames and the end; the audio is that of the class."""
    model, processor = tiny()
    adapter, config = adapter_for(model.eval()), model.config
    features = processor.prompt_features(samples(tmp_path)[0])
    length, plan = len(features["input_ids"]), [config.audio_token_id] * 3 + [config.audio_eos_token_id]
    rightly, said = model._get_logits_processor, []

    def choose(token_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        chosen = dict(enumerate(plan)).get(token_ids.shape[1] - length, config.eos_token_id)
        return scores.index_fill(1, torch.tensor([chosen]), 1e6)

    model._get_logits_processor = lambda *args, **kwargs: LogitsProcessorList([*rightly(*args, **kwargs), choose])
    handle = model.model.audio_tower.decoder.register_forward_hook(lambda _, __, out: said.append(out.audio))
    prompt = Prompt(features["input_ids"], features["audio_input_ids"], max_frames=6, seed=3)
    (clip,) = adapter.generate([prompt], SamplingSettings())
    handle.remove()
    assert clip.stop_reason == "eos" and clip.codes.shape == (D, 3)
    wave = processor.codec.decode(clip.codes)
    np.testing.assert_allclose(wave, torch.cat(said, dim=-1)[0, 0].numpy(), atol=1e-5)
    (cut,) = adapter.generate([replace(prompt, max_frames=2)], SamplingSettings())
    assert cut.stop_reason == "max_length" and cut.codes.shape == (D, 2)
    plan.pop()  # the end of the text follows the third frame, of which two are allowed
    assert adapter.generate([replace(prompt, max_frames=2)], SamplingSettings())[0].stop_reason == "max_length"
    assert not model.model.diffusion_head._forward_pre_hooks
    assert not model.model.multi_modal_projector._forward_pre_hooks


def test_the_conformance_suite_is_green(tmp_path: Path) -> None:
    model, processor = tiny()
    given = samples(tmp_path)[:3]
    prompts = [
        Prompt(row["input_ids"], row["audio_input_ids"], max_frames=3, seed=at)
        for at, row in enumerate(map(processor.prompt_features, given))
    ]
    assert_adapter(adapter_for(model), processor.collator()(list(map(processor.features, given))), prompts=prompts)
