"""The group of a voice is given by the data or follows from the speakers of the training data, never guessed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tracker_logging.data import groups
from tracker_logging.data.formats import open_samples
from tracker_logging.data.groups import TrainedSpeakers, group_facts, group_of, with_groups
from tracker_logging.data.sample import VoiceSample
from tracker_logging.integrations.arguments import add_logging_arguments, callbacks_from
from tracker_logging.integrations.hf_trainer import ZeroShotVerificationLoggerCallback
from tracker_logging.observers.zero_shot import ZeroShotObserver


def sample(speaker: str | None, **extra: object) -> VoiceSample:
    return VoiceSample(
        sample_id="a", reference_text="", reference_audio=None, target_text="One.", target_audio=None,
        speaker=speaker, extra=extra,
    )  # fmt: skip


def groups_of(samples: list[VoiceSample], training: list[VoiceSample]) -> list[str | None]:
    return [group_of(one) for one in with_groups(samples, TrainedSpeakers.of(training))]


def test_a_speaker_of_the_training_data_is_trained_and_another_is_unseen() -> None:
    training = [sample("slt"), sample("rms")]
    assert groups_of([sample("rms"), sample("awb"), sample(None), sample("")], training) == [
        "trained", "unseen", None, None,
    ]  # fmt: skip


def test_a_group_that_the_data_names_is_kept() -> None:
    given = [sample("slt", group="unseen real speakers"), sample("slt", misc={"group": " whispered "})]
    assert groups_of(given, [sample("slt")]) == ["unseen real speakers", "whispered"]
    assert groups_of([sample("slt", group=7), sample("slt", group="")], [sample("slt")]) == ["trained", "trained"]


@pytest.mark.parametrize("training", [[], [sample("slt"), sample(None)]])
def test_where_training_speakers_are_not_all_known_nobody_is_called_unseen(training: list[VoiceSample]) -> None:
    assert groups_of([sample("awb")], training) == [None]
    assert groups_of([sample("slt")], training) == (["trained"] if training else [None])


def test_of_too_many_training_samples_those_read_are_trained_and_the_others_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "MOST_READ", 3)
    training = [sample(name) for name in ("a", "b", "c", "d", "e")]
    assert groups_of([sample("a"), sample("e"), sample("b")], training) == ["trained", "trained", None]


def test_the_facts_count_the_groups_and_say_why_a_voice_is_in_none() -> None:
    trained = TrainedSpeakers.of([sample("slt"), sample(None)])
    samples = with_groups([sample("slt"), sample("awb"), sample("x", group="real")], trained)
    assert group_facts(samples, trained) == {
        "voice_groups": "real 1, trained 1, none 1 (1 of 2 training samples name no speaker)"
    }
    assert group_facts([], trained) == {}


def test_a_group_is_read_from_its_field_or_a_column_of_that_role(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(2400), 24_000)
    row = {"audio": "a.wav", "text": "One.", "ref_audio": "a.wav", "ref_text": "Two."}
    (tmp_path / "field.jsonl").write_text(json.dumps(row | {"group": "unseen real speakers"}))
    (tmp_path / "column.jsonl").write_text(json.dumps(row | {"kind": "unseen real speakers"}))
    assert group_of(open_samples(tmp_path / "field.jsonl")[0]) == "unseen real speakers"
    columns = {"audio": "audio", "text": "text", "group": "kind"}
    assert group_of(open_samples(tmp_path / "column.jsonl", columns=columns)[0]) == "unseen real speakers"


def test_the_arguments_of_a_training_give_its_voices_their_groups() -> None:
    parser = argparse.ArgumentParser()
    add_logging_arguments(parser)
    args = parser.parse_args(["--enable_strategic_logging"])
    callbacks = callbacks_from(
        args, processor=None, evaluation=[sample("slt"), sample("awb")], training=[sample("slt")], facts={"n": 1}
    )
    (voices,) = (each for each in callbacks if isinstance(each, ZeroShotVerificationLoggerCallback))
    observer = voices.make_observer()
    assert isinstance(observer, ZeroShotObserver)
    assert [group_of(one) for one in observer._samples] == ["trained", "unseen"]
    config = voices.session._run_config
    assert (config["voice_groups"], config["n"]) == ("trained 1, unseen 1", 1)
