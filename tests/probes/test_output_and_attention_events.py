"""The events of the output and attention callbacks for a snapshot of a real step."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_model import AUDIO_BOS, BOS, EOS, K, batch, sample, small_model, two_samples

from tracker_logging import tags
from tracker_logging.events import Audio, Event, Heatmap, Image, Scalars, Table
from tracker_logging.families import adapter_for
from tracker_logging.families.processors import ProcessorParts
from tracker_logging.guard import ErrorGuard
from tracker_logging.observers.attention import AttentionObserver
from tracker_logging.observers.outputs import HARD_COLUMNS, OutputObserver, pair_rows, teacher_forced_clips
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.probe_set import NEEDS
from tracker_logging.probes.snapshot import SampleOutputs, StepSnapshot
from tracker_logging.session.observer import Later, Observer, Training
from tracker_logging.voices.conditioning import GAP_COLUMNS


class CodesAsSound:
    """A codec whose sound is the codes of its first codebook, one sample per frame."""

    sample_rate, frame_rate, num_codebooks, codebook_size = 25, 25.0, K, BOS

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return np.repeat(np.round(wave * BOS).astype(np.int64)[None], K, axis=0)

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return (codes[0] / BOS).astype(np.float32)


def snapshot_of(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> StepSnapshot:
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS, special_ids={1, 2, 7, 62})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    capture.attach(model.train())
    model(**inputs).loss.backward()
    capture.before_update(optimizer)
    optimizer.step()
    capture.after_update(optimizer)
    snapshot = capture.snapshot(7)
    assert capture.errors == []
    return snapshot


def training_of(model: torch.nn.Module, *, codec: object = None, tokenizer: object = None) -> Training:
    return Training(
        model=model,
        parts=ProcessorParts(tokenizer=tokenizer, codec=codec, voices=None, passed="test"),
        rank=0,
        world_size=1,
        guard=ErrorGuard(strict=True),
        emit=lambda event: None,
        wake=lambda: None,
    )


def events_of(observer: Observer, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, Event]:
    """By tag; scalars by `""`."""
    observer.begin(training_of(model, codec=CodesAsSound()))
    made: list[Event] = []
    for event in observer.observe(snapshot_of(model, inputs)):
        made.extend(event.make() if isinstance(event, Later) else [event])
    values: dict[str, float] = {}
    events: dict[str, Event] = {}
    for event in made:
        assert event.step == 7
        if isinstance(event, Scalars):
            values |= event.values
        else:
            events[event.tag] = event
    for name in [*values, *events]:
        assert tags.find(name) is not None, name
    assert np.isfinite(list(values.values())).all()
    return events | {"": Scalars(step=7, values=values)}


def test_outputs_shows_numbers_pairs_texts_a_map_and_sound() -> None:
    events = events_of(OutputObserver(), small_model(text_head=True), two_samples(text_labels=True))
    values = events[""].values
    assert {tags.NLL(codebook=at) for at in range(K)} | {tags.NLL_TEXT(), tags.NLL_SHIFT0()} <= values.keys()
    assert values[tags.PERPLEXITY(codebook=1)] == pytest.approx(np.exp(values[tags.NLL(codebook=1)]))
    assert values[tags.NON_FINITE_LOGITS()] == 0
    assert isinstance(events[tags.PREDICTIONS()], Table) and isinstance(events[tags.TEXTS()], Table)
    picture = events[tags.ACCURACY_MAP()].picture
    assert isinstance(picture, Heatmap) and picture.values.shape == (K, 7 + K + 1)
    assert np.isnan(picture.values[:, 0]).all() and np.isnan(picture.values[0, -1])
    clips = events[tags.TEACHER_FORCED_AUDIO()].clips
    assert list(clips) == ["target", "teacher_forced"]
    assert len(clips["target"].samples) == len(clips["teacher_forced"].samples) == 7


class Numbers:
    """A tokenizer whose words are the numbers of its tokens."""

    all_special_ids = (1, 2, 7, AUDIO_BOS)

    def decode(self, token_ids: list[int], **options: bool) -> str:
        return " ".join(map(str, token_ids))


def test_a_prompt_whose_text_does_not_help_becomes_a_hard_sample_with_its_gaps() -> None:
    model = small_model()
    observer, snapshot = OutputObserver(), snapshot_of(model, two_samples())
    observer.begin(training_of(model, tokenizer=Numbers()))
    for step in range(4):
        rows = [(f"v{number}", f"Sentence {number}.", 2.0, 3.0, 0.5, 0.4, 0.8) for number in range(5)]
        rows += [("v5", "Shifted.", 1.5, 4.0, 0.3, -0.2, 0.01), ("v6", "Without another.", 1.0, 3.0, None, 0.2, None)]
        observer.hear(Table(step=step, tag=tags.CONDITIONING_SAMPLES(), columns=GAP_COLUMNS, rows=tuple(rows)))
    (table,) = [event for event in observer.observe(snapshot) if getattr(event, "tag", "") == tags.HARD_SAMPLES()]
    assert table.columns == HARD_COLUMNS
    assert table.rows == (("own text does not help", "Shifted.", 1.5, 4.0, 3.0, 4.0, 4, 3, 0.3, 0.01),)


def test_a_batch_without_labels_gives_no_predictions() -> None:
    inputs = two_samples()
    del inputs["audio_labels"]  # a dictionary with labels in this function would be found
    model = small_model().train()
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model)
    model(**inputs)
    snapshot = capture.snapshot(1)
    observer = OutputObserver()
    observer.begin(training_of(model))
    assert snapshot.tokens is None
    assert list(observer.observe(snapshot)) == []


def test_pairs_are_the_first_and_last_ten_of_each_codebook() -> None:
    labels = np.arange(60).reshape(30, 2)
    labels[3, 0] = -100
    sample = SampleOutputs(None, labels + (labels % 4 == 0), labels, None, None, None)
    rows = [row for row in pair_rows(sample, tokenizer=None) if row[0] == "codebook 0"]
    assert [row[1] for row in rows] == [0, 1, 2, *range(4, 11), *range(20, 30)]
    assert all((label == predicted) == equal for _, _, label, predicted, equal in rows)


def test_the_target_sounds_like_its_codes_and_special_predictions_become_real_codes() -> None:
    model = small_model()
    snapshot = snapshot_of(model, batch(sample(0, 6, seed=4)))
    own = snapshot.sample
    clips = teacher_forced_clips(own, adapter_for(model), CodesAsSound())
    assert (clips["target"].samples * BOS).tolist() == own.given[1:7, 0].tolist()
    expected = np.minimum(own.predicted[1:7, 0], BOS - 1)
    assert (clips["teacher_forced"].samples * BOS).tolist() == expected.tolist()
    assert EOS > BOS


def test_attention_shows_masses_maps_paths_and_flow() -> None:
    events = events_of(AttentionObserver(), small_model(text_head=True), two_samples(text_labels=True))
    values = events[""].values
    row = [values[tags.MASS_MEAN(query="target", key=key)] for key in ("text", "reference", "target")]
    assert sum(row) == pytest.approx(1.0, abs=1e-4)
    for tag in (tags.DIAGONALITY(), tags.ATTENTION_ENTROPY(layer=0), tags.FFN_RMS(path="text", layer=1)):
        assert tag in values
    assert values[tags.GRADIENT_NORM(component="heads")] > 0
    assert 0 < values[tags.UPDATE_RATIO(component="attention_v")] < 0.1
    assert -1 <= values[tags.GRADIENT_COSINE()] <= 1
    images = {tags.MASS_MAP(), tags.ALIGNMENT_HEADS(), tags.FFN_MAP(), tags.GRADIENT_MAP(), tags.UPDATE_MAP()}
    assert images <= events.keys() and all(isinstance(events[tag], Image) for tag in images)


def test_an_attention_heatmap_names_its_tokens_and_draws_the_roles() -> None:
    events = events_of(AttentionObserver(), small_model(), batch(sample(5, 7, seed=1)))
    picture = events[tags.ATTENTION_HEATMAP(layer=1)].picture
    assert [name for _, name in picture.column_boundaries] == ["text", "reference", "text", "target", "text"]
    size = len(picture.values)
    assert picture.values.shape == (size, size) and len(picture.row_labels) == size
    assert picture.row_labels[0] == "1" and "reference 0" in picture.row_labels
    assert np.isnan(picture.values[0, 1:]).all()
    assert not any(isinstance(event, Audio) for event in events.values())


def test_relations_without_a_reference_are_left_out() -> None:
    events = events_of(AttentionObserver(), small_model(), batch(sample(0, 7, seed=1)))
    assert not any("reference" in name for name in events[""].values)
    assert not any("reference" in label for label in events[tags.MASS_MAP()].picture.column_labels)
