"""Faulty batches of public collators: each has exactly its findings, and the healthy batch has none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from doctor.small_run import SAMPLES, Batch, Diagnosis, diagnose, mean_loss_model, sound_model, spoiled
from probes.small_model import AUDIO, BOS, EOS, K, V, sample, small_model

from tracker_logging import tags
from tracker_logging.families import IGNORE


def labels_shifted(made: Batch) -> None:
    """`label[t + 1] = code[t]`: scored after the model's own shift, each position predicts what it is given."""
    made["audio_labels"] = made["audio_input_ids"].roll(1, dims=1).masked_fill(made["audio_labels"] == IGNORE, IGNORE)


def codes_with_noise(made: Batch) -> None:
    """A quarter of the codes that the model reads are replaced, as recipes against exposure bias do."""
    codes = made["audio_input_ids"]
    noise = torch.randint(0, BOS, codes.shape, generator=torch.Generator().manual_seed(0))
    replaced = torch.rand(codes.shape, generator=torch.Generator().manual_seed(1)) < 0.25
    made["audio_input_ids"] = torch.where(replaced & (codes < BOS), noise, codes)


def labels_copied(made: Batch) -> None:
    """Labels are a copy of the codes, the voice prompt and all begin codes included."""
    made["audio_labels"] = made["audio_input_ids"].masked_fill(~made["audio_input_ids_mask"][..., None], IGNORE)


def ends_masked(made: Batch) -> None:
    """What `output_labels=True` of transformers 5.23 does."""
    made["audio_labels"] = made["audio_labels"].masked_fill(made["audio_labels"] == EOS, IGNORE)


def not_delayed(made: Batch) -> None:
    """Each codebook's codes begin at the first frame of a clip."""
    for frames, labels, there in zip(
        made["audio_input_ids"], made["audio_labels"], made["audio_input_ids_mask"], strict=True
    ):
        starts = (frames == BOS).all(dim=-1).nonzero().squeeze(-1).tolist()
        for start, stop in zip(starts, [*starts[1:], int(there.sum())], strict=True):
            for codebook in range(K):
                for row in (frames, labels):
                    row[start:stop, codebook] = row[start:stop, codebook].roll(-codebook)


def codebook_masked(made: Batch) -> None:
    made["audio_labels"][..., 2] = IGNORE


def text_trained(made: Batch) -> None:
    """Every text token is a label, as the processor makes them with a text head."""


def prompt_trained(made: Batch) -> None:
    """The voice prompt's codes are labels too; begin codes are not, nor are ends."""
    codes, labels = made["audio_input_ids"], made["audio_labels"]
    bounds = (codes == BOS) | (codes == EOS) & (labels != EOS)
    made["audio_labels"] = codes.masked_fill(bounds, IGNORE)


def clips_joined(made: Batch) -> None:
    """The text between reference and target is gone."""
    tokens, masks = [], []
    for row in made["input_ids"]:
        audio = (row >= AUDIO) & (row != 62)
        first, last = audio.nonzero()[[0, -1]].flatten().tolist()
        inner = torch.arange(len(row))
        keep = audio | (inner < first) | (inner > last)
        tokens.append(torch.nn.functional.pad(row[keep], (0, len(row) - int(keep.sum()))))
        masks.append((torch.arange(len(row)) < int(keep.sum())).long())
    made["input_ids"], made["attention_mask"] = torch.stack(tokens), torch.stack(masks)


def cut_at_maximum_length(made: Batch) -> None:
    """Every row is cut at 30 tokens, and its frames with it."""
    made["input_ids"], made["attention_mask"] = made["input_ids"][:, :30], made["attention_mask"][:, :30]
    kept = ((made["input_ids"] == AUDIO) | (made["input_ids"] == 61)).sum(dim=1)
    made["audio_input_ids_mask"] &= torch.arange(made["audio_input_ids_mask"].shape[1]) < kept[:, None]


def an_empty_tensor(made: Batch) -> None:
    made["position_ids"] = torch.arange(made["input_ids"].shape[1])[None]
    made["audio_features"] = torch.zeros(0, 128)


# What follows from a fault is found with it.
BATCHES: dict[Callable[[Batch], None], set[str]] = {
    labels_shifted: {"labels_shifted"},
    codes_with_noise: {"codes_differ_from_labels"},
    labels_copied: {"reference_trained", "begin_codes_trained"},
    prompt_trained: {"reference_trained"},
    ends_masked: {"end_codes_masked"},
    not_delayed: {"delay_pattern_off"},
    codebook_masked: {"codebook_without_labels"},
    clips_joined: {"clips_cross", "delay_pattern_off"},
    cut_at_maximum_length: {"samples_cut"},
    text_trained: {"prompt_text_trained"},
}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    return diagnose(tmp_path_factory.mktemp("healthy"))


def test_a_healthy_training_has_no_findings(healthy: Diagnosis) -> None:
    assert [finding.text for finding in healthy.findings.values()] == []
    assert (healthy.error, healthy.errors, healthy.values[tags.ERRORS()]) == (None, 0, 0)


@pytest.mark.parametrize("spoil", BATCHES, ids=lambda spoil: spoil.__name__)
def test_a_faulty_batch_has_exactly_its_findings(spoil: Callable[[Batch], None], tmp_path: Path) -> None:
    with_text = spoil is text_trained
    model = mean_loss_model(text_head=with_text)
    found = diagnose(tmp_path, collate=spoiled(spoil, text_labels=with_text), model=model, max_steps=3)
    assert found.bad == BATCHES[spoil]
    assert (found.errors, found.values[tags.ERRORS()]) == (0, 0)


def test_references_that_are_lost_during_training_are_found(tmp_path: Path) -> None:
    dropped = [*SAMPLES[:4], *(sample(0, 4 + at % 5, seed=at) for at in range(12))]
    assert diagnose(tmp_path, samples=dropped, train_sampling_strategy="sequential").bad == {"reference_missing"}


def test_one_sample_without_a_reference_is_no_finding(tmp_path: Path) -> None:
    assert diagnose(tmp_path, samples=[sample(0, 6, seed=99), *SAMPLES]).bad == set()


def test_an_audio_loss_divided_by_text_labels_is_found_and_its_fix_resolves_it(tmp_path: Path) -> None:
    """The trap of transformers' Trainer: it counts `labels`, which are the text's."""

    def trap(model: torch.nn.Module) -> Diagnosis:
        return diagnose(tmp_path, model=model, collate=spoiled(lambda made: None, text_labels=True))

    model = small_model()
    assert model.accepts_loss_kwargs if hasattr(model, "accepts_loss_kwargs") else True
    assert trap(model).bad == {"loss_wrongly_scaled"}
    assert trap(mean_loss_model()).bad == set()
    assert trap(sound_model()).bad == set()


def test_a_finding_has_evidence_cause_and_fix(tmp_path: Path) -> None:
    finding = diagnose(tmp_path, collate=spoiled(ends_masked), max_steps=2).findings["end_codes_masked"]
    assert finding.seen.startswith("0 %") and tags.EOS_LABELLED() in finding.seen
    assert finding.since == 1 and finding.is_open and finding.certainty == "certain"
    assert finding.cause and finding.fix


def test_the_small_model_has_separate_begin_and_end_codes() -> None:
    assert (BOS, EOS) == (V - 2, V - 1)
