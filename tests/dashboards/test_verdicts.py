"""What `compare` claims, on runs whose truth is known: through the command line where the number of pages allows."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from scored_runs import draw_scores, run_of, speaker_of, write_scores
from tracker_logging.dashboards.comparison import Side, compare_sides

from tracker_logging.cli import main

SHOWN = ("better", "worse", "different")


def side(name: str, scores: Any, *, speakers: int, **more: Any) -> Side:
    return Side(name, {name: run_of(name, scores, speakers=speakers, **more)})


def verdicts(pair: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["verdict"] for row in pair["scores"] if row["question"]}


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["compare", "--json", *map(str, arguments)]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def write_pair(folder: Path, scores: list[Any], *, speakers: int) -> list[Path]:
    name = partial(speaker_of, speakers=speakers)
    return [write_scores(folder / letter, each, speaker=name) for letter, each in zip("ab", scores, strict=False)]


def test_null_pages_of_any_size_have_a_verdict_in_at_most_one_of_twenty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(5)
    false = 0
    pages = 120
    for page in range(pages):
        voices, speakers = int(random.integers(2, 25)), int(random.integers(1, 9))
        draw = partial(
            draw_scores,
            random,
            voices=voices,
            speakers=min(voices, speakers),
            steps=[1],
            takes=int(random.integers(1, 5)),
        )
        paths = write_pair(tmp_path / str(page), [draw(), draw()], speakers=min(voices, speakers))
        result = printed(capsys, *paths)
        false += any(verdict in SHOWN for verdict in verdicts(result["pairs"][0]).values())
    assert binomtest(false, pages, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("at", ["last-common", "last", "best"])
@pytest.mark.parametrize("others", [1, 2])
def test_null_pages_of_several_steps_and_runs_have_few_verdicts(at: Any, others: int) -> None:
    random = np.random.default_rng(others)
    pages, false = 250, 0
    for _ in range(pages):
        cadences = [[100, 200, 300, 400], [200, 400], [100, 300, 400]]
        sides = [
            side(name, draw_scores(random, voices=16, speakers=8, steps=cadences[place]), speakers=8)
            for place, name in enumerate("abc"[: others + 1])
        ]
        pairs = compare_sides(sides, at=at)["pairs"]
        false += any(verdict in SHOWN for pair in pairs for verdict in verdicts(pair).values())
    assert binomtest(false, pages, 0.05, alternative="greater").pvalue > 0.001


def test_a_better_run_is_called_better_in_every_direction() -> None:
    random = np.random.default_rng(0)
    draw = partial(draw_scores, random, voices=12, speakers=12, steps=[1])
    pair = compare_sides([side("a", draw(), speakers=12), side("b", draw(shift=3.0), speakers=12)])["pairs"][0]
    assert set(verdicts(pair).values()) == {"better"}
    assert {row["name"] for row in pair["scores"] if row["difference"] < 0} == {"wer"}


def test_steps_of_different_cadence_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both runs lie on one rising curve: a difference appears only where their steps differ, and then it is named."""
    random = np.random.default_rng(2)
    rise = {
        step: draw_scores(random, voices=9, speakers=9, steps=[step], shift=step / 25)
        for step in (100, 200, 250, 300, 400)
    }
    runs = [
        {voice: {step: rise[step][voice][step] for step in steps} for voice in rise[100]}
        for steps in ((100, 200, 300, 400), (100, 200, 250))
    ]
    paths = write_pair(tmp_path, runs, speakers=9)
    pair = printed(capsys, *paths)["pairs"][0]
    assert pair["steps"] == {"a": 200, "b": 200}
    assert {row["difference"] for row in pair["scores"]} == {0.0}
    last = printed(capsys, *paths, "--at", "last")["pairs"][0]
    assert last["steps"] == {"a": 400, "b": 250}
    assert "The steps differ" in last["note"]
    best = printed(capsys, *paths, "--at", "best")["pairs"][0]
    assert best["steps"] == {"a": 200, "b": 200}


def test_without_a_common_step_nothing_is_compared_and_each_run_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(3)
    draws = [draw_scores(random, voices=8, speakers=8, steps=steps) for steps in ([100, 300], [150, 350])]
    paths = write_pair(tmp_path, draws, speakers=8)
    result = printed(capsys, *paths)
    pair = result["pairs"][0]
    assert (pair["steps"], pair["scores"]) == ({}, [])
    assert "a: 100, 300; b: 150, 350" in pair["reason"] and "--at last" in pair["reason"]
    assert "Each is shown by itself" in result["answer"][0]
    assert [line["scores"]["wer"]["mean"] is not None for line in result["leaderboard"]] == [True, True]
    best = printed(capsys, *paths, "--at", "best")["pairs"][0]
    assert set(verdicts(best).values()) == {""} and "no verdict is given" in best["note"]


def test_a_round_in_progress_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(4)
    scores = [draw_scores(random, voices=8, speakers=8, steps=[100, 200]) for _ in range(2)]
    paths = write_pair(tmp_path, scores, speakers=8)
    for voice in list(scores[0])[3:]:
        sidecar = paths[0] / "voices" / voice / "step-00000200.json"
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"scored": False, "scores": {"repetition": 0}}))
    pair = printed(capsys, *paths)["pairs"][0]
    assert pair["steps"] == {"a": 100, "b": 100}
    assert "step 200 of a (5 of 8 clips)" in pair["note"]


@pytest.mark.parametrize("at", ["last-common", "last", "best"])
def test_a_run_that_goes_on_with_fewer_prompts_is_compared_where_it_is_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    random = np.random.default_rng(15)
    early = draw_scores(random, voices=30, speakers=10, steps=[0, 500], shift=-100.0)
    paths = write_pair(tmp_path, [early, early], speakers=10)
    late = [draw_scores(random, voices=10, speakers=10, steps=[1000, 5000], shift=shift) for shift in (0.0, -50.0)]
    write_pair(tmp_path, late, speakers=10)
    assert main(["compare", *map(str, paths), "--json", "--at", at, "--fail-if-worse", "wer"]) == 1
    pair = json.loads(capsys.readouterr().out)["pairs"][0]
    assert set(pair["steps"].values()) <= ({1000, 5000} if at == "best" else {5000})
    assert (len(pair["paired"]), pair["scores"][0]["voices"]) == (10, 10)
    assert (
        "20 of the 30 voices in common are left out: not scored in a at step 5000 (20), b at step 5000 (20)."
        in pair["note"]
    )


def test_a_sidecar_that_cannot_be_read_is_named_and_moves_no_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(16)
    draws = [draw_scores(random, voices=10, speakers=10, steps=[0, 500], shift=shift) for shift in (0.0, -50.0)]
    a, b = write_pair(tmp_path, draws, speakers=10)
    sidecar = b / "voices/v03/step-00000500.json"
    sidecar.write_text(sidecar.read_text()[:40])
    problem = "b: v03/step-00000500.json is left out: JSONDecodeError"
    page = tmp_path / "page.html"
    assert main(["compare", str(a), str(b), "-o", str(page), "--fail-if-worse", "wer"]) == 2
    said = capsys.readouterr()
    assert f"Cannot be read: {problem}" in said.out
    assert said.err.startswith(f"tracker-logging compare: --fail-if-worse: cannot be read: {problem}.")
    assert problem in page.read_text()
    result = printed(capsys, a, b)
    assert result["problems"] == [problem]
    assert result["pairs"][0]["steps"] == {"a": 500, "b": 500}
    assert "1 of the 10 voices in common is left out: not scored in b at step 500 (1)." in result["pairs"][0]["note"]
    (b / "findings.json").write_text("{")  # no file that a score comes from
    sidecar.unlink()
    assert main(["compare", str(a), str(b), "-o", str(page), "--fail-if-worse", "wer"]) == 1
    assert "Cannot be read: b: findings.json" in capsys.readouterr().out


def test_too_few_speakers_are_named_with_how_many_are_needed() -> None:
    random = np.random.default_rng(6)
    draw = partial(draw_scores, random, voices=20, speakers=4, steps=[1])
    pair = compare_sides([side("a", draw(), speakers=4), side("b", draw(shift=9.0), speakers=4)])["pairs"][0]
    assert set(verdicts(pair).values()) == {"too few"}
    assert "too few speakers to tell" in pair["scores"][0]["sentence"]
    assert "20 voices of 4 speakers, it needs 6 speakers" in pair["scores"][0]["sentence"]


def test_the_difference_that_would_be_found_is_found() -> None:
    """Draw pages at the difference that the page itself promises to find in 80 %."""
    random = np.random.default_rng(8)
    draw = partial(draw_scores, random, voices=16, speakers=8, steps=[1], names=("sim_margin",))
    promises = []
    for _ in range(60):
        row = compare_sides([side("a", draw(), speakers=8), side("b", draw(), speakers=8)])["pairs"][0]["scores"][0]
        promises.append(row["detectable"])
    shift = float(np.sqrt(np.mean(np.square(promises))))
    found = 0
    for _ in range(150):
        pair = compare_sides([side("a", draw(), speakers=8), side("b", draw(shift=shift), speakers=8)])["pairs"][0]
        found += verdicts(pair)["sim_margin"] == "better"
    assert 0.68 < found / 150 < 0.92


def test_differing_sampling_scorers_and_texts_are_named_before_the_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(9)
    draws = [draw_scores(random, voices=8, speakers=8, steps=[1]) for _ in range(2)]
    name = partial(speaker_of, speakers=8)
    paths = [
        write_scores(tmp_path / letter, scores, speaker=name, sampling={"temperature": heat, "seed": 1})
        for letter, scores, heat in zip("ab", draws, (0.3, 1.0), strict=True)
    ]
    changes = (
        (1, "v03", {"target_text": "another"}),
        (0, "v02", {"group": "trained"}),
        (1, "v02", {"group": "unseen"}),
    )
    for run, voice, change in (*changes, (1, "v01", {"group": "unseen"})):  # of v01, the first run does not say it
        about = paths[run] / "voices" / voice / "voice.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | change))
    result = printed(capsys, *paths)
    assert [(row["kind"], row["text"]) for row in result["pairs"][0]["conditions"]] == [
        ("sampling", "temperature: a 0.3, b 1.0"),
        ("prompts", "group of v02: a trained, b unseen"),
        ("prompts", "target text of v03: a b, b another"),
    ]
    assert result["answer"][0].startswith("They differ in more than the model: sampling (temperature: a 0.3, b 1.0)")


def test_seeds_are_compared_as_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of one setting vary more than the settings differ: pairs of single runs differ, the groups do not."""
    random = np.random.default_rng(10)
    shifts = {"a1": -4.0, "a2": 4.0, "b1": 4.0, "b2": -4.0, "c1": 150.0, "c2": 151.0}
    name = partial(speaker_of, speakers=8)
    paths = {
        run: write_scores(
            tmp_path / run, draw_scores(random, voices=8, speakers=8, steps=[1], shift=shift), speaker=name
        )
        for run, shift in shifts.items()
    }
    single = printed(capsys, paths["a1"], paths["b1"])["pairs"][0]
    assert set(verdicts(single).values()) == {"better"}
    groups = [f"{group}:{paths[f'{group}1']},{paths[f'{group}2']}" for group in "abc"]
    result = printed(capsys, *(part for group in groups for part in ("--group", group)))
    null, real = result["pairs"]
    assert set(verdicts(null).values()) == {"none"}
    assert set(verdicts(real).values()) == {"better"}
    assert null["groups"] == {"a": ["a1", "a2"], "b": ["b1", "b2"]}
    assert "new trainings of these settings" in result["answer"][0]


def test_groups_have_few_false_verdicts() -> None:
    random = np.random.default_rng(11)
    pages, false = 250, 0

    def group(name: str) -> Side:
        runs = {
            f"{name}{seed}": run_of(
                name, draw_scores(random, voices=8, speakers=8, steps=[1], shift=random.standard_normal()), speakers=8
            )
            for seed in range(3)
        }
        return Side(name, runs)

    for _ in range(pages):
        pair = compare_sides([group("a"), group("b")])["pairs"][0]
        false += any(verdict in SHOWN for verdict in verdicts(pair).values())
    assert binomtest(false, pages, 0.05, alternative="greater").pvalue > 0.001


def test_the_status_tells_ci_whether_a_run_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(12)
    draws = [draw_scores(random, voices=9, speakers=9, steps=[1], shift=shift) for shift in (0.0, -5.0)]
    a, b = map(str, write_pair(tmp_path, draws, speakers=9))
    assert main(["compare", a, b, "--json", "--fail-if-worse", "wer"]) == 1
    assert "Worse: wer: b is worse" in capsys.readouterr().err
    assert main(["compare", b, a, "--json", "--fail-if-worse", "wer"]) == 0
    assert main(["compare", a, b, "--json", "--fail-if-worse", "mcd_db"]) == 2
    assert "--fail-if-worse mcd_db: b and a: it was not measured in both." in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["compare", a, b, "--json", "--fail-if-worse", "silence_pct"])  # neither high nor low is good


def test_the_status_is_2_where_no_verdict_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(14)
    draws = [draw_scores(random, voices=5, speakers=5, steps=[1], shift=shift) for shift in (0.0, -50.0)]
    a, b = map(str, write_pair(tmp_path, draws, speakers=5))
    assert main(["compare", a, b, "--json", "--fail-if-worse", "wer"]) == 2
    error = capsys.readouterr().err
    assert "--fail-if-worse wer: b and a: wer: too few speakers to tell" in error and "it needs 6 speakers" in error
    for alone in ([a], ["--group", f"one:{a},{b}"]):
        assert main(["compare", *alone, "--json", "--fail-if-worse", "wer"]) == 2
        printed = capsys.readouterr()
        assert "nothing to compare with" in printed.err and not printed.out


def test_the_console_opens_with_the_leaderboard_and_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(13)
    draws = [draw_scores(random, voices=9, speakers=9, steps=[1, 2], shift=shift) for shift in (0.0, 5.0)]
    paths = write_pair(tmp_path, draws, speakers=9)
    assert main(["compare", *map(str, paths), "-o", str(tmp_path / "page.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["run", "step"] and lines[1].split()[:2] == ["a", "2"]
    assert any(line.startswith("b is better than a in sim_margin (+") for line in lines)


def test_languages_without_spaces_are_judged_by_characters() -> None:
    random = np.random.default_rng(14)
    draw = partial(draw_scores, random, voices=8, speakers=8, steps=[1], names=("wer", "cer"))
    sides = [side(name, draw(), speakers=8) for name in "ab"]
    assert list(verdicts(compare_sides(sides)["pairs"][0])) == ["wer"]
    for each in sides:
        for run in each.runs.values():
            for voice in run.voices.values():
                object.__setattr__(voice, "language", "zh")
    assert list(verdicts(compare_sides(sides)["pairs"][0])) == ["cer"]
