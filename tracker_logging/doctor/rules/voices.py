"""How the fixed prompts sound when the model generates freely.

>>> history = History()
>>> for step in range(5):
...     _ = history.add(step, {"voices/stopped_pct": 25.0})
>>> RULES[0].evidence(history)
'25 % of the clips end by themselves, the others at their limit (voices/stopped_pct)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import EVAL_LOSS, TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Cause, Rule

PATIENCE = 5
"""Rounds after which voices are judged even if the loss has not fallen much: a pretrained model starts low."""

_SILENCE = tags.VOICE_SCORE(score="silence_pct")
_CLIPPING = tags.VOICE_SCORE(score="clip_pct")
_REPETITION = tags.VOICE_SCORE(score="repetition")
_SIMILARITY = tags.VOICE_SCORE(score="sim_r")
_CEILING = tags.VOICE_SCORE(score="sim_ceiling")
COPY = 0.97
"""Similarity to the prompt through the codec, above which a clip is the prompt itself; other clips of the voice have
about 0.9."""
_MARGIN = tags.VOICE_SCORE(score="sim_margin")
_MARGIN_LOW = tags.VOICE_LOW(score="sim_margin")
_PROGRESS = (tags.NLL_MEAN, TRAIN_LOSS)


def _can_be_judged(history: History, tag: str) -> bool:
    return len(history[tag].points) >= PATIENCE or has_learned(history)


def _run_on(history: History) -> str | None:
    share = history[tags.STOPPED()].last
    if not share < 50 or not _can_be_judged(history, tags.STOPPED()):
        return None
    return f"{share:.3g} % of the clips end by themselves, the others at their limit ({tags.STOPPED()})"


def _collapse(history: History) -> str | None:
    between, real = history[tags.BETWEEN_SPEAKER()].last, history[tags.BETWEEN_SPEAKER_REAL()].last
    nearest, chance = history[tags.SPK_TOP1()].last, history[tags.SPK_TOP1_CHANCE()].last
    is_alike = between > real + 0.5 * (1.0 - real) or (between > real + 0.15 and nearest < chance + 0.1)
    if not is_alike or not _can_be_judged(history, tags.BETWEEN_SPEAKER()):
        return None
    return (
        f"generated clips of different speakers have a similarity of {between:.2f}, their prompts {real:.2f} "
        f"({tags.BETWEEN_SPEAKER()}); the nearest prompt is the own speaker's in {100 * nearest:.0f} %, by chance in "
        f"{100 * chance:.0f} %"
    )


def _share(history: History, tag: str) -> float:
    """The clips that `tag` counts, as a share of all clips of the round, in percent."""
    clips = history[tags.VALID_CLIPS()].last + history[tags.INVALID_CLIPS()].last
    return 100.0 * history[tag].last / clips if clips > 0 else 0.0


def _silent(history: History) -> str | None:
    share, silence = _share(history, tags.SILENT_CLIPS()), history[_SILENCE].on(history[tags.SILENT_CLIPS()].step)
    if not _can_be_judged(history, tags.SILENT_CLIPS()):
        return None
    if share >= 50:
        return f"{share:.0f} % of the clips contain no speech ({tags.SILENT_CLIPS()})"
    if silence > 60:
        return f"{silence:.0f} % of the clips' time is silent ({_SILENCE})"
    return None


def _clipped(history: History) -> str | None:
    share, samples = _share(history, tags.CLIPPED_CLIPS()), history[_CLIPPING].on(history[tags.CLIPPED_CLIPS()].step)
    if not _can_be_judged(history, tags.CLIPPED_CLIPS()):
        return None
    if share >= 50:
        return f"{share:.0f} % of the clips have more than 5 % of their samples at full scale ({tags.CLIPPED_CLIPS()})"
    if samples > 1.0:
        return f"{samples:.2g} % of all samples are at full scale ({_CLIPPING})"
    return None


def _repeated(history: History) -> str | None:
    share = history[_REPETITION].last
    if not share > 0.5 or not _can_be_judged(history, _REPETITION):
        return None
    return f"{100 * share:.0f} % of the code sequences of the clips occur earlier in the same clip ({_REPETITION})"


def _parrot(history: History) -> str | None:
    similarity, ceiling = history[_SIMILARITY], history[_CEILING]
    real = ceiling.last if ceiling else 0.0
    if not similarity.last > COPY or not similarity.last - real > 0.5 * (1.0 - real):
        return None
    beside = f"; the real recordings of the targets reach {real:.3f} ({_CEILING})" if ceiling else ""
    return f"the similarity of the generated clips to their prompts is {similarity.last:.3f} ({_SIMILARITY}){beside}"


def _disagreement(history: History) -> str | None:
    """The checkpoint of the lowest loss clones worse than the best one, by more than the interval of the best."""
    losses = dict(history[EVAL_LOSS].points)
    margins, lows = dict(history[_MARGIN].points), dict(history[_MARGIN_LOW].points)
    both = [step for step in margins if step in losses and step in lows]
    if len(both) < 2:
        return None
    by_loss, by_voice = min(both, key=lambda step: losses[step]), max(both, key=lambda step: margins[step])
    if not margins[by_loss] < lows[by_voice]:
        return None
    return (
        f"the lowest {EVAL_LOSS} is at step {by_loss}, where {_MARGIN} is {margins[by_loss]:.3g}; the best voice is at "
        f"step {by_voice} with {margins[by_voice]:.3g}, of which the 95 % interval begins at {lows[by_voice]:.3g}"
    )


RULES = (
    Rule(
        name="clips_run_on",
        level="warning",
        certainty="likely",
        triggers=(tags.STOPPED,),
        also_reads=_PROGRESS,
        opens_when="fewer than half of the clips end by themselves, three rounds in a row",
        evidence=_run_on,
        causes=(
            Cause("The labels of the end codes are masked.", check="chatml/eos_labelled_pct is below 100"),
            Cause("Clips are cut and have no end code.", check="chatml/truncated is above 0"),
            Cause(
                "The model has not learned the end yet.", check="both are right, and the share of clips that end rises"
            ),
        ),
        fix="make chatml/eos_labelled_pct 100 and chatml/truncated 0; if they are, train on.",
        opens_after=3,
    ),
    Rule(
        name="voices_become_one",
        level="warning",
        certainty="likely",
        triggers=(tags.BETWEEN_SPEAKER,),
        also_reads=(tags.BETWEEN_SPEAKER_REAL, tags.SPK_TOP1, tags.SPK_TOP1_CHANCE, *_PROGRESS),
        opens_when="generated clips of different speakers are half-way to one voice, or 0.15 more similar than their "
        "prompts while the nearest prompt is found by chance",
        evidence=_collapse,
        causes=(
            Cause("The reference is ignored.", check="conditioning/gap/low is not above 0"),
            Cause(
                "The data has too few speakers, or one that outweighs the others.",
                check="`tracker-logging check-data` shows the clips per speaker",
            ),
            Cause(
                "The model overfits to the training voices.", check="eval/loss rises, or an earlier round was better"
            ),
        ),
        fix="balance the speakers, check that reference and target are the same speaker, and take an earlier "
        "checkpoint by voices/sim_margin. voices/sim_o may look good all the same.",
        opens_after=2,
    ),
    Rule(
        name="silence",
        level="warning",
        certainty="likely",
        triggers=(tags.SILENT_CLIPS,),
        also_reads=(tags.VALID_CLIPS, tags.INVALID_CLIPS, _SILENCE, *_PROGRESS),
        opens_when="half of the clips contain no speech, or 60 % of their time is silent, two rounds in a row",
        evidence=_silent,
        causes=(
            Cause(
                "The model copies its input and repeats the code of silence.",
                check="outputs/nll_shift0/mean is below outputs/nll/mean",
            ),
            Cause(
                "The training clips hold long silence around the speech.",
                check="`tracker-logging check-data --decode` finds clips that are mostly silent",
            ),
            Cause("The model has hardly learned.", check="outputs/teacher_forced is not speech either"),
        ),
        fix="compare outputs/nll_shift0/mean with outputs/nll/mean, trim silence from the clips, and listen to "
        "outputs/teacher_forced.",
        opens_after=2,
    ),
    Rule(
        name="clipping",
        level="warning",
        certainty="likely",
        triggers=(tags.CLIPPED_CLIPS,),
        also_reads=(tags.VALID_CLIPS, tags.INVALID_CLIPS, _CLIPPING, *_PROGRESS),
        opens_when="1 % of the samples are at full scale, or half of the clips are clipped, two rounds in a row",
        evidence=_clipped,
        causes=(
            Cause(
                "The training clips are too loud or clipped themselves.",
                check="`tracker-logging check-data --decode` finds clipped clips",
            ),
            Cause("The generated codes are noise.", check="the clips are noise, not distorted speech"),
        ),
        fix="look at the peaks of the training data (`tracker-logging check-data`), and bring it to about -20 LUFS.",
        opens_after=2,
    ),
    Rule(
        name="repetition",
        level="warning",
        certainty="likely",
        triggers=(_REPETITION,),
        also_reads=_PROGRESS,
        opens_when="more than half of the code sequences of a clip occur earlier in it, two rounds in a row",
        evidence=_repeated,
        causes=(
            Cause("Greedy sampling loops.", check="with --voice_temperature 0.7 it is gone"),
            Cause("The model has hardly learned.", check="outputs/accuracy/mean is low and still rises"),
            Cause("The training clips hold long sustained sounds.", check="the targets in inputs/audio do"),
        ),
        fix="generate with --voice_temperature 0.7; if clips still loop, train on.",
        opens_after=2,
    ),
    Rule(
        name="prompt_repeated",
        level="warning",
        certainty="likely",
        triggers=(_SIMILARITY,),
        also_reads=(_CEILING,),
        opens_when="generated clips are more similar to their prompts than 0.97 and than half-way from real clips of "
        "the voice to 1, two rounds in a row",
        evidence=_parrot,
        causes=(
            Cause(
                "The model repeats the prompt in place of the text: it was trained on targets that are their own "
                "reference.",
                check="chatml/reference_is_target is above 0, or voices/ref_leak is high and voices/wer near 1",
            ),
            Cause(
                "The prompts of this set are its targets, so that the model is asked for the prompt's own text.",
                check="the reference text and the target text of voices/table are equal",
            ),
        ),
        fix="take another clip of the speaker as the reference in training and in the prompts. voices/sim_o is no "
        "success here: listen to a clip beside its prompt.",
        opens_after=2,
    ),
    Rule(
        name="loss_and_voice_disagree",
        level="warning",
        certainty="likely",
        triggers=(_MARGIN,),
        also_reads=(_MARGIN_LOW, EVAL_LOSS),
        opens_when="of the evaluations with scored voices, the one of the lowest loss has a sim_margin below the "
        "interval of the best sim_margin, two rounds in a row",
        evidence=_disagreement,
        causes=(
            Cause(
                "The model learns to predict codes from the true past and uses the reference less.",
                check="conditioning/gap/mean falls while the loss falls",
            ),
            Cause(
                "The model forgets voices that are not in the training data.",
                check="voices/sim_margin/mean is below that of step 0",
            ),
            Cause("The prompts are unlike the evaluation data.", check="--voice_prompts names another file"),
        ),
        fix='choose the checkpoint by its voice: metric_for_best_model="eval_voice", or --best_by voice.',
        opens_after=2,
        updates_seen=True,
    ),
)
