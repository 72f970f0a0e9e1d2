"""The last word of a training: base against best against last, which checkpoint to use and why."""

import json
from pathlib import Path

import pytest

from tracker_logging.events import Event, Finding, Findings, Scalars, Table, Text
from tracker_logging.session.console import wrapped
from tracker_logging.session.last_word import KEPT, LastWord
from tracker_logging.session.ledger import MissingFamily
from tracker_logging.trackers.open import RunInfo, open_tracker


def voices(step: int, margin: float, *, low: float, high: float, **more: float) -> Scalars:
    values = {"sim_margin/mean": margin, "sim_margin/low": low, "sim_margin/high": high, "sim_margin/n": 12.0} | more
    return Scalars(step=step, values={f"voices/{name.replace('__', '/')}": value for name, value in values.items()})


TRAINING = (
    voices(0, 0.05, low=0.01, high=0.09, spk_top1=0.25, spk_top1__n=12.0),
    voices(100, 0.30, low=0.25, high=0.35, spk_top1=1.0, spk_top1__n=12.0),
    voices(200, 0.12, low=0.08, high=0.16, spk_top1=0.5, spk_top1__n=12.0),
    Scalars(step=100, values={"eval/loss": 3.0, "outputs/accuracy/mean": 0.5}),
    Scalars(step=200, values={"eval/loss": 2.0}),
)

TIED = ((30, 0.241, 0.25), (60, 0.242, 0.19), (90, 0.237, 0.168), (120, 0.239, 0.178))  # step, margin, word errors


def said(*events: Event, saved: tuple[int, ...] = (100, 200), missing: tuple[MissingFamily, ...] = ()) -> list[Event]:
    last_word = LastWord()
    for event in events:
        last_word.hear(event)
    for step in saved:
        last_word.saved(step)
    return list(last_word.events(step=200, missing=missing))


def text_of(*events: Event, **options: tuple) -> str:
    (text,) = (event.text for event in said(*events, **options) if isinstance(event, Text))
    lines = wrapped(text, width=80).splitlines()
    assert len(lines) <= 20 and max(map(len, lines)) <= 80  # the title and where it all is are four more
    return text


def test_the_table_has_base_best_and_last_with_intervals_and_n() -> None:
    (table,) = (event for event in said(*TRAINING) if isinstance(event, Table))
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    assert rows["sim_margin", "base"] == (0, 0.05, 0.01, 0.09, 12.0)
    assert rows["sim_margin", "best"] == (100, 0.30, 0.25, 0.35, 12.0)
    assert rows["sim_margin", "last"] == (200, 0.12, 0.08, 0.16, 12.0)
    assert rows["right speaker", "best"] == (100, 1.0, None, None, 12.0)
    assert rows["evaluation loss", "base"] == (0, None, None, None, None)
    assert rows["evaluation loss", "last"][1] == 2.0
    assert {row[0] for row in table.rows} == {"right speaker", "sim_margin", "evaluation loss"}


def test_each_group_of_voices_has_a_row_trained_ones_first() -> None:
    def groups(trained: float, unseen: float, **more: float) -> dict[str, float]:
        return {"group__unseen_real__sim_margin": unseen, "group__trained__sim_margin": trained} | more

    ends = {"group__unseen_real__sim_margin__low": 0.25, "group__unseen_real__sim_margin__high": 0.35}
    base = voices(0, 0.2, low=0.1, high=0.3, **groups(0.1, 0.3, group__unseen_real__wer=0.1), **ends)
    right = {"group__trained__spk_top1": 0.75, "group__trained__spk_top1__n": 12.0}
    tuned = voices(100, 0.3, low=0.2, high=0.4, **groups(0.5, 0.2), **right)
    lines = [line for line in text_of(base, tuned).splitlines() if line.startswith("sim_margin, ")]
    assert [" ".join(line.split()) for line in lines] == [
        "sim_margin, trained 0.1 0.5 0.5",
        "sim_margin, unseen_real 0.3 0.2 0.2",
    ]
    (table,) = (event for event in said(base, tuned) if isinstance(event, Table))
    assert ("sim_margin, unseen_real", "base", 0, 0.3, 0.25, 0.35, None) in table.rows
    assert ("right speaker, trained", "best", 100, 0.75, None, None, 12.0) in table.rows
    assert ("word errors, unseen_real", "base", 0, 0.1, None, None, None) in table.rows


def test_small_intervals_are_not_rounded_to_zero() -> None:
    text = text_of(voices(100, -0.000856, low=-0.0012, high=-0.0004))
    assert "-0.000856 n=12" in text and "[-0.0012, -0.0004]" in text


def test_every_number_at_its_widest_fits_80_columns() -> None:
    names = ("voices/spk_top1", "voices/sim_margin", "voices/cer", "conditioning/gap_null")
    bounds = {"low": -0.00013, "high": -0.00012, "n": 1088.0}
    ends = {f"{name}/{end}": value for name in names for end, value in bounds.items()}
    means = {"voices/spk_top1": -0.000123, "voices/sim_margin/mean": -0.000123, "voices/cer": -0.000123}
    values = ends | means | {"conditioning/gap_null/mean": -0.000123, "eval/loss": 2.123456}
    events = [Scalars(step=step, values=values) for step in (0, 1_000_000, 2_000_000)]
    found = [
        Finding(name=name, level="warning", seen="", cause="", certainty="likely", fix="", since=1, until=None)
        for name in ("reference_ignored", "text_ignored", "does_not_learn", "silence")
    ]
    missing = tuple(MissingFamily(f"outputs/perplexity/codebook_{index}", 100, "a reason") for index in range(9))
    text = text_of(*events, Findings(step=9, findings=tuple(found)), saved=(2_000_000,), missing=missing)
    table = text.splitlines()[:12]
    assert table[0].endswith("  last (step 2000000)") and table[-2].startswith("evaluation")
    assert sum("[-0.00013, -0.00012]" in line for line in table) == 4


def test_a_base_model_without_an_interval_is_not_called_equal() -> None:
    few = Scalars(step=0, values={"voices/sim_margin/mean": -0.03, "voices/sim_margin/n": 4.0})
    assert "the base model has -0.03, but there are too few clips for an interval" in text_of(few, TRAINING[1])


def test_the_voice_chooses_and_not_the_loss() -> None:
    text = text_of(*TRAINING)
    assert "Use step 100: it has the best voice (sim_margin 0.3), clearly better than the base model (0.05)" in text
    assert "It is checkpoint 100." in text and "0.3 n=12" in text and "[0.25, 0.35]" in text


def test_a_checkpoint_that_its_words_chose_is_not_called_the_best_voice() -> None:
    rounds = [voices(step, margin, low=0.2, high=0.28, wer=wer) for step, margin, wer in TIED]
    text = " ".join(text_of(voices(0, 0.23, low=0.19, high=0.27), *rounds).split())
    assert (
        "Use step 90: its sim_margin (0.237) is within the interval of the best one (0.242 at step 60), and it has "
        "fewer word errors (0.168, 0.19); the base model has 0.23, but the intervals overlap" in text
    )


def test_a_checkpoint_that_the_loop_chose_by_something_else_is_not_called_the_best_voice(tmp_path: Path) -> None:
    last_word = LastWord()
    for step, margin, wer in TIED:
        last_word.hear(voices(step, margin, low=0.2, high=0.28, wer=wer))
        last_word.saved(step, tmp_path / f"checkpoint-{step}")
    last_word.loaded(30)
    (_, text) = last_word.events(step=120, missing=())
    assert "Use step 30: its sim_margin is 0.241, and that of step 60 is the best (0.242)." in text.text


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (voices(0, 0.2, low=0.1, high=0.3), "the intervals overlap"),
        (voices(0, 0.4, low=0.3, high=0.5), "training has not improved the voice"),
    ],
)
def test_a_base_model_that_is_as_good_is_reported(base: Scalars, reason: str) -> None:
    assert reason in text_of(base, *TRAINING[1:])


def test_a_step_without_a_checkpoint_is_not_recommended_without_a_hint() -> None:
    assert "No checkpoint of it was kept; the nearest one is of step 200." in text_of(*TRAINING, saved=(200,))


def test_a_checkpoint_that_the_loop_deleted_is_not_recommended(tmp_path: Path) -> None:
    last_word = LastWord()
    for event in TRAINING:
        last_word.hear(event)
    for step in (100, 200):
        (tmp_path / f"checkpoint-{step}").mkdir()
        last_word.saved(step, tmp_path / f"checkpoint-{step}")
    (_, text) = last_word.events(step=200, missing=())
    assert "It is checkpoint 100." in text.text and last_word.best_checkpoint == tmp_path / "checkpoint-100"
    (tmp_path / "checkpoint-100").rmdir()  # as `save_total_limit` does
    (_, text) = last_word.events(step=200, missing=())
    assert "No checkpoint of it was kept; the nearest one is of step 200." in text.text
    assert last_word.best_checkpoint == tmp_path / "checkpoint-200" and str(tmp_path) not in text.text
    (tmp_path / "checkpoint-200").rmdir()
    (_, text) = last_word.events(step=200, missing=())
    assert "No checkpoint of it was kept." in text.text and last_word.best_checkpoint is None


def test_loaded_weights_are_the_best_ones() -> None:
    last_word = LastWord()
    for event in TRAINING:
        last_word.hear(event)
    last_word.loaded(200)
    (_, text) = last_word.events(step=200, missing=())
    assert isinstance(text, Text) and "Use step 200" in text.text and "Its weights are loaded." in text.text


def test_without_voices_the_loss_is_named_as_what_it_is() -> None:
    text = text_of(*TRAINING[3:])
    assert "Use step 200: it has the lowest eval/loss, which does not tell whether voices are cloned" in text


def test_a_round_without_a_valid_clip_is_the_reason_for_no_score() -> None:
    def clips(step: int, valid: float, invalid: float) -> Scalars:
        return Scalars(step=step, values={"voices/valid_clips": valid, "voices/invalid_clips": invalid})

    trained = Scalars(step=100, values={"outputs/nll/mean": 3.0})
    why = "all 4 clips of step 100 are invalid (voices/invalid_clips)"
    text = text_of(trained, clips(100, 0.0, 4.0), clips(0, 3.0, 1.0))
    assert f"No voice was scored: {why}. Nothing was evaluated, so" in text
    assert f"whether voices are cloned; no voice was scored: {why}." in text_of(*TRAINING[3:], clips(100, 0.0, 4.0))
    assert "invalid" not in text_of(trained, clips(100, 1.0, 3.0))
    assert "invalid" not in text_of(*TRAINING, clips(100, 0.0, 4.0))


def test_a_resumed_training_knows_the_rounds_before_its_checkpoint(tmp_path: Path) -> None:
    first = LastWord()
    for event in (*TRAINING, Scalars(step=150, values={"outputs/nll/mean": 1.0})):
        first.hear(event)
    first.saved(100, tmp_path / "checkpoint-100")
    first.saved(150)
    (tmp_path / "checkpoint-100").mkdir()
    state = json.loads(json.dumps(first.state(150)))
    assert str(tmp_path) not in json.dumps(state) and set(state["values"]) == {"0", "100", "150"}
    resumed = LastWord()
    resumed.restore(state, tmp_path)
    resumed.hear(voices(250, 0.2, low=0.15, high=0.25))
    table, text = resumed.events(step=250, missing=())
    assert {(row[1], row[2]) for row in table.rows} == {("base", 0), ("best", 100), ("last", 250)}
    assert "Use step 100" in text.text and "It is checkpoint 100." in text.text
    assert resumed.best_checkpoint == tmp_path / "checkpoint-100"


def test_why_the_last_round_has_no_score_survives_a_resume() -> None:
    first, resumed = LastWord(), LastWord()
    first.hear(Scalars(step=5, values={"voices/invalid_clips": 4.0, "voices/valid_clips": 0.0, "eval/loss": 2.0}))
    resumed.restore(json.loads(json.dumps(first.state(5))), None)
    _, text = resumed.events(step=6, missing=())
    assert "all 4 clips of step 5 are invalid" in text.text


def test_the_state_of_a_long_training_has_no_more_than_its_rounds() -> None:
    last_word = LastWord()
    for step in range(5000):
        last_word.hear(Scalars(step=step, values={"outputs/nll/mean": 1.0}))
    assert len(last_word.state(4999)["values"]) == 2


def test_without_numbers_there_is_no_last_word() -> None:
    assert said(Scalars(step=1, values={"tracker/errors": 0.0})) == []


def test_a_long_training_keeps_the_rounds_and_forgets_other_steps() -> None:
    last_word = LastWord()
    for event in TRAINING:
        last_word.hear(event)
    for step in range(1000, 1000 + 5 * KEPT):
        last_word.hear(Scalars(step=step, values={"outputs/nll/mean": 1.0}))
    assert len(last_word._values) <= KEPT
    table, _ = last_word.events(step=9000, missing=())
    assert {row[2] for row in table.rows} == {0, 100, 200}


def test_open_findings_and_what_is_missing_are_listed() -> None:
    findings = tuple(
        Finding(name=name, level="warning", seen="", cause="", certainty="likely", fix="", since=1, until=until)
        for name, until in (("reference_ignored", None), ("silence", 5))
    )
    missing = tuple(MissingFamily(f"voices/{index}", 100, "a reason") for index in range(5))
    text = text_of(*TRAINING, Findings(step=200, findings=findings), missing=missing)
    assert "Findings still open: Reference ignored (warning). See findings.md." in text
    assert "Missing: voices/0, voices/1, voices/2 and 2 more." in text


def test_the_files_hold_the_same(tmp_path: Path) -> None:
    tracker = open_tracker("jsonl", directory=tmp_path / "run", run=RunInfo())
    events = said(*TRAINING)
    for event in events:
        tracker.emit(event)
    tracker.flush(timeout_s=30.0)
    tracker.close()
    content = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert content["step"] == 200 and len(content["numbers"]) == 9
    assert content["numbers"][3] == {
        "number": "sim_margin", "model": "base", "step": 0, "value": 0.05, "low": 0.01, "high": 0.09, "n": 12.0
    }  # fmt: skip
    assert content["text"] in (tmp_path / "run" / "summary.md").read_text()
