"""The batch and its labels: what is wrong before any model has learned from it.

>>> history = History()
>>> _ = history.add(1, {"chatml/eos_labelled_pct": 0.0})
>>> _eos_masked(history)
'0 % of the first end codes carry a label (chatml/eos_labelled_pct)'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracker_logging import tags
from tracker_logging.doctor.history import History
from tracker_logging.doctor.rule import Cause, Rule, above

MAX_LEAK = 1e-3
"""Relative movement of earlier positions above which attention is not causal; a causal kernel gives 0."""

FOREIGN_PCT = 60
"""Of the audio labels, so many % that are not the code at their own position mean that they belong to other codes."""

_OTHER_FAULTS = (
    tags.DELAY_VIOLATIONS,
    tags.LABEL_MISMATCH,
    tags.TRUNCATED,
    tags.CROSSING_SPANS,
    tags.PLACEHOLDER_MISMATCH,
)
"""Faults that move or remove labels: a label that is missing beside one of them proves nothing of its own."""

_MISPLACED = (tags.DELAY_VIOLATIONS, tags.LABEL_MISMATCH)
"""Faults that put labels on positions that should have none."""


def _is_explained(history: History, *, step: int, by: Sequence[tags.Tag] = _OTHER_FAULTS) -> bool:
    """Whether the batch of `step` has another fault that explains the evidence."""
    return any(history[tag()].on(step) > 0 for tag in by)


def _above_zero(tag: tags.Tag, text: str, *, unless: Sequence[tags.Tag] = ()) -> Callable[[History], str | None]:
    """Evidence where a number that should be 0 is above it. `text` describes it, with `{value:g}` for the number.

    `unless`: faults of the same batch that explain it.
    """

    evidence = above(0, tag, text)
    return lambda history: None if _is_explained(history, step=history[tag()].step, by=unless) else evidence(history)


def _reference_trained(history: History) -> str | None:
    """Stray labels on a reference, or a pair of which both clips are trained and nothing shows that this is meant."""
    stray, pairs = history[tags.REFERENCE_LABELLED()], history[tags.PAIR_LABELLED()]
    if stray.last > 0 and not _is_explained(history, step=stray.step, by=_MISPLACED):
        return f"{stray.last:.3g} % of the reference's positions carry a label ({tags.REFERENCE_LABELLED()})"
    meant = any(count > 2 for _, count in history[tags.TARGETS()].points)
    if not pairs.last > 0 or meant or _is_explained(history, step=pairs.step, by=_MISPLACED):
        return None
    return f"in {pairs.last:.3g} % of the samples of two clips, both are trained ({tags.PAIR_LABELLED()})"


def _differing_labels(*, shifted: bool) -> Callable[[History], str | None]:
    """Labels that are not the code at their own position: shifted or foreign ones, or else only some of them.

    They are shifted where more are the code of a frame nearby than of their own, and foreign above `FOREIGN_PCT`.
    """

    def evidence(history: History) -> str | None:
        mismatch, elsewhere = history[tags.LABEL_MISMATCH()].last, history[tags.LABEL_ELSEWHERE()].last
        is_nearby = elsewhere > 100 - mismatch
        if not mismatch > 0 or (is_nearby or mismatch > FOREIGN_PCT) != shifted:
            return None
        nearby = f", {elsewhere:.3g} % are that of a frame nearby" if is_nearby else ""
        share = f"{mismatch:.3g} % of the audio labels are not the code at their own position"
        return f"{share}{nearby} ({tags.LABEL_MISMATCH()})"

    return evidence


def _samples_without_labels(history: History) -> str | None:
    series = history[tags.WITH_LABELS()]
    if not series.last < 100:
        return None
    empty = [str(step) for step, share in series.points if share == 0]
    if not empty:
        return f"{100 - series.last:.3g} % of the samples of the batch carry no label ({tags.WITH_LABELS()})"
    shown = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
    return (
        f"at step {shown} no position of the batch carries a label, so nothing is learned from it, in {len(empty)} of "
        f"{len(series.points)} logged batches ({tags.WITH_LABELS()})"
    )


def _eos_masked(history: History) -> str | None:
    series = history[tags.EOS_LABELLED()]
    if not series.last < 50 or _is_explained(history, step=series.step):
        return None
    return f"{series.last:.3g} % of the first end codes carry a label ({tags.EOS_LABELLED()})"


def _coverage(history: History) -> dict[str, float]:
    """Label coverage by codebook at the newest step; empty where another fault of the batch explains it."""
    step, coverage = history.newest(tags.LABEL_COVERAGE)
    return {} if _is_explained(history, step=step) else coverage


def _partly_labelled(history: History) -> str | None:
    coverage = _coverage(history)
    if not coverage or max(coverage.values()) >= 50:
        return None
    return (
        f"at most {max(coverage.values()):.3g} % of the target's frames carry a label, in all codebooks "
        f"(chatml/label_coverage_pct)"
    )


def _unlabelled_codebook(history: History) -> str | None:
    coverage = _coverage(history)
    low = {codebook: share for codebook, share in coverage.items() if share < 50}
    if not low or max(coverage.values()) < 50:
        return None
    shares = ", ".join(f"codebook {codebook}: {share:.3g} %" for codebook, share in low.items())
    return f"less than half of the target's frames carry a label in {shares} (chatml/label_coverage_pct)"


RULES = (
    Rule(
        name="samples_without_labels",
        level="warning",
        certainty="likely",
        triggers=(tags.WITH_LABELS,),
        opens_when="a sample of the batch, or the whole batch, carries no label",
        evidence=_samples_without_labels,
        causes=(
            Cause(
                "Samples are cut by a maximum length before their target begins.",
                check="chatml/truncated is above 0, or inputs/length/max is the same number in many batches",
            ),
            Cause(
                "Samples have no target audio, or only text.",
                check="`tracker-logging check-data` finds target_missing, or inputs/segments shows no target",
            ),
            Cause("The collator masks all their labels.", check="inputs/segments shows audio that should be trained"),
        ),
        fix="leave such samples out, or raise the maximum length; in inputs/samples they are decoded.",
        closes_after=10,
        updates_seen=True,
    ),
    Rule(
        name="reference_is_target",
        level="warning",
        certainty="certain",
        triggers=(tags.REFERENCE_IS_TARGET,),
        opens_when="a sample's reference has the same codes as its target",
        evidence=_above_zero(
            tags.REFERENCE_IS_TARGET, "in {value:g} samples of the batch the reference has the codes of the target"
        ),
        causes=(
            Cause(
                "The target is its own reference. The model learns to copy it; the conditioning gap looks like "
                "success, and cloning is not learned."
            ),
        ),
        fix="take another clip of the speaker as the reference (`tracker-logging check-data` lists the samples).",
    ),
    Rule(
        name="delay_pattern_off",
        level="error",
        certainty="certain",
        triggers=(tags.DELAY_VIOLATIONS,),
        opens_when="an audio span of the batch is not in the delay pattern",
        evidence=_above_zero(tags.DELAY_VIOLATIONS, "{value:g} audio spans are not in the delay pattern"),
        causes=(
            Cause(
                "The codes were not delayed, or delayed twice: each codebook must start with one begin code more than "
                "its delay. The model learns to predict codebooks from frames that it will not have when it generates."
            ),
        ),
        fix="delay the codes once, where the batch is made (tracker_logging.families.higgs_v2.processor does), and "
        "listen to inputs/audio: it must sound like speech.",
    ),
    Rule(
        name="end_codes_masked",
        level="error",
        certainty="certain",
        triggers=(tags.EOS_LABELLED,),
        also_reads=_OTHER_FAULTS,
        opens_when="fewer than half of the first end codes carry a label, in a batch whose codes, labels and lengths "
        "are right",
        evidence=_eos_masked,
        causes=(
            Cause(
                "The labels of the end codes are -100, as the processor's `output_labels=True` makes them. The model "
                "never learns to stop: clips will run on until their limit."
            ),
        ),
        fix="label the first end code of each codebook and set only the fill after it to -100.",
    ),
    Rule(
        name="begin_codes_trained",
        level="warning",
        certainty="certain",
        triggers=(tags.BOS_LABELLED,),
        also_reads=_MISPLACED,
        opens_when="a begin code carries a label, while codes and labels are in their places",
        evidence=_above_zero(tags.BOS_LABELLED, "{value:g} % of the begin codes carry a label", unless=_MISPLACED),
        causes=(
            Cause(
                "The labels are a copy of the codes. Begin codes are the same in every clip, so part of the loss falls "
                "without anything being learned."
            ),
        ),
        fix="set the labels of begin codes to -100.",
    ),
    Rule(
        name="reference_trained",
        level="warning",
        certainty="likely",
        triggers=(tags.REFERENCE_LABELLED, tags.PAIR_LABELLED),
        also_reads=(*_MISPLACED, tags.TARGETS),
        opens_when="positions of a reference carry a label, or both clips of a sample of two are trained in a training "
        "whose samples have no more clips; codes and labels are in their places",
        evidence=_reference_trained,
        causes=(
            Cause(
                "The labels cover the voice prompt. The model is trained to generate the prompt without a reference, "
                "which takes capacity and gradient from cloning.",
                check="the sample has one target in the data, and inputs/segments shows its voice prompt as a target",
            ),
            Cause(
                "The samples are conversations of two targets.", check="the data has no voice prompt, but `start_index`"
            ),
        ),
        fix="set the labels of every reference segment to -100 (audio_labels; labels in a model of codec tokens). "
        "Samples with several targets need no fix.",
    ),
    Rule(
        name="prompt_text_trained",
        level="warning",
        certainty="certain",
        triggers=(tags.PROMPT_LABELLED,),
        opens_when="text before the target's own text carries a label",
        evidence=_above_zero(tags.PROMPT_LABELLED, "{value:g} % of the prompt's text carries a label"),
        causes=(
            Cause(
                "The text labels cover the system prompt and the user's turn, as `output_labels=True` makes them. The "
                "model is trained to write the prompt."
            ),
        ),
        fix="set `labels` to -100 up to the target's own text or, in a model of codec tokens, up to its audio; a model "
        "with a text head of its own may also be trained without it.",
    ),
    Rule(
        name="codebook_without_labels",
        level="error",
        certainty="certain",
        triggers=(tags.LABEL_COVERAGE,),
        also_reads=_OTHER_FAULTS,
        opens_when="less than half of the target's frames carry a label in some codebook, but not in all",
        evidence=_unlabelled_codebook,
        causes=(
            Cause(
                "The labels of that codebook are masked, or shifted out of the span. It is not trained, and generated "
                "clips get its codes at random."
            ),
        ),
        fix="label all codebooks; only begin codes and the fill after the first end code are -100.",
    ),
    Rule(
        name="targets_partly_labelled",
        level="warning",
        certainty="likely",
        triggers=(tags.LABEL_COVERAGE,),
        also_reads=_OTHER_FAULTS,
        opens_when="less than half of the target's frames carry a label, in all codebooks, three times in a row",
        evidence=_partly_labelled,
        causes=(
            Cause("A mask that was made for the text or for padding covers the audio.", check="it is your collator's"),
            Cause("Only a part of each target is trained on purpose.", check="you set it"),
        ),
        fix="label every frame of the target; only begin codes and the fill after the first end code are -100.",
        opens_after=3,
    ),
    Rule(
        name="labels_shifted",
        level="error",
        certainty="likely",
        triggers=(tags.LABEL_MISMATCH,),
        also_reads=(tags.LABEL_ELSEWHERE,),
        opens_when="more audio labels are the code of a frame nearby than of their own position, or over "
        f"{FOREIGN_PCT} % are not the code at their own position",
        evidence=_differing_labels(shifted=True),
        causes=(
            Cause(
                "The labels were shifted before they reach a model that shifts them itself. It learns to repeat its "
                "input (the loss falls to 0.003) or to skip a frame, and generates silence or noise.",
                check="outputs/accuracy_map of the shifted labels fits, and outputs/nll_shift0/mean is low or falls",
            ),
            Cause(
                "The labels belong to other samples or other codes: permuted, or encoded twice with different codecs.",
                check="outputs/nll_shift0/mean stays as high as outputs/nll/mean",
            ),
        ),
        fix="give the labels unshifted: a copy of the codes, with -100 where nothing is to be learned.",
    ),
    Rule(
        name="codes_differ_from_labels",
        level="warning",
        certainty="likely",
        triggers=(tags.LABEL_MISMATCH,),
        also_reads=(tags.LABEL_ELSEWHERE,),
        opens_when="some audio labels are not the code at their own position, and they are not shifted",
        evidence=_differing_labels(shifted=False),
        causes=(
            Cause("Noise in the input codes, or code dropout.", check="you set it: then this is as it should be"),
            Cause(
                "Some samples have the labels of others, or codes of another codec.",
                check="the code cache was made with the codec that decodes",
            ),
        ),
        fix="nothing, if codes are replaced on purpose; else make the labels a copy of the codes.",
    ),
    Rule(
        name="attention_not_causal",
        level="error",
        certainty="certain",
        triggers=(tags.CAUSALITY_LEAK,),
        opens_when="earlier positions move by more than 0.1 % when the last one is changed",
        evidence=above(
            MAX_LEAK,
            tags.CAUSALITY_LEAK,
            "changing the last position moved earlier ones by {value:.2g} of their size",
        ),
        causes=(
            Cause(
                "A position attends to later ones: the causal mask is lost (a compatibility layer, or a mask built for "
                "another kernel). The loss falls to almost nothing, and free-running clips are noise."
            ),
        ),
        fix="train with attn_implementation='sdpa' or 'eager' of an unpatched model, and check the mask that reaches "
        "the attention. What was trained so far cannot be used.",
    ),
    Rule(
        name="placeholders_do_not_match",
        level="error",
        certainty="certain",
        triggers=(tags.PLACEHOLDER_MISMATCH,),
        opens_when="the number of audio placeholders of a sample differs from its number of audio frames",
        evidence=_above_zero(
            tags.PLACEHOLDER_MISMATCH,
            "in {value:g} samples the audio placeholders and the audio frames differ in number",
        ),
        causes=(
            Cause(
                "Tokens and audio were prepared separately, and one of them was cut or left out. Codes end up at "
                "positions of another clip."
            ),
        ),
        fix="expand one placeholder per delayed frame, from the same codes that are in the batch; inputs/segments "
        "shows the sample.",
    ),
    Rule(
        name="clips_cross",
        level="warning",
        certainty="certain",
        triggers=(tags.CROSSING_SPANS,),
        opens_when="another clip begins inside an audio span",
        evidence=_above_zero(tags.CROSSING_SPANS, "{value:g} audio spans contain the beginning of another clip"),
        causes=(
            Cause(
                "Two clips follow each other without a token between them: the end of one is trained to predict the "
                "start of the next."
            ),
        ),
        fix="put the audio end and begin tokens around every clip.",
    ),
    Rule(
        name="empty_tensors",
        level="warning",
        certainty="likely",
        triggers=(tags.EMPTY_TENSORS,),
        opens_when="a tensor of the batch has no values",
        evidence=_above_zero(tags.EMPTY_TENSORS, "{value:g} tensors of the batch are empty"),
        causes=(
            Cause("A clip gave no codes.", check="`tracker-logging check-data` finds empty or very short clips"),
            Cause("The collator dropped a field.", check="the same tensor is empty in every batch (inputs/tensors)"),
        ),
        fix="find its name in inputs/tensors, and run `tracker-logging check-data` on the training file. The step "
        "trains on less than it seems.",
    ),
    Rule(
        name="samples_cut",
        level="warning",
        certainty="likely",
        triggers=(tags.TRUNCATED,),
        opens_when="a sample has no end code in its last audio, or ends in the middle of a text before any target",
        evidence=_above_zero(tags.TRUNCATED, "{value:g} samples of the batch were cut"),
        causes=(
            Cause(
                "Samples are longer than the maximum length and lose their end: the end codes are missing, and the "
                "text may contain words that are not in the audio.",
                check="inputs/length/max is the same number in many batches",
            ),
            Cause("The preprocessing adds no end codes.", check="short samples are counted too"),
        ),
        fix="raise the maximum length or leave long samples out; never cut audio to fit.",
    ),
)
