"""What is wrong with a batch before any model has learned from it. A wrong label is certain: one look is enough.

rule.evidence(history)      # "0 % of the first end codes carry a label (chatml/eos_labelled_pct)"
"""

from __future__ import annotations

from collections.abc import Callable

from tracker_logging import tags
from tracker_logging.doctor.history import History
from tracker_logging.doctor.rule import Rule

LEAK = 1e-3
"""Relative movement of earlier positions above which attention is not causal; a sound kernel gives 0."""
LOSS_RATIO_BAND = (0.8, 1.25)


def _more_than_none(tag: tags.Tag, what: str) -> Callable[[History], str | None]:
    """Evidence where a number that should be 0 is not. `what` says it with `{value}` in it."""

    def evidence(history: History) -> str | None:
        value = history[tag()].last
        return f"{what.format(value=f'{value:g}')} ({tag()})" if value > 0 else None

    return evidence


def _eos_masked(history: History) -> str | None:
    share = history[tags.EOS_LABELLED()].last
    return f"{share:.3g} % of the first end codes carry a label ({tags.EOS_LABELLED()})" if share < 50 else None


def _unlabelled_codebook(history: History) -> str | None:
    coverage = {codebook: series.last for codebook, series in history.family(tags.LABEL_COVERAGE).items()}
    low = {codebook: share for codebook, share in coverage.items() if share < 50}
    if not low:
        return None
    found = ", ".join(f"codebook {codebook}: {share:.3g} %" for codebook, share in low.items())
    return f"less than half of the target's frames carry a label in {found} (chatml/label_coverage_pct)"


def _loss_ratio(history: History) -> str | None:
    ratio = history[tags.LOSS_RATIO()].last
    low, high = LOSS_RATIO_BAND
    if not (ratio < low or ratio > high):
        return None
    return f"the loss that is trained is {ratio:.3g} times the sum of the cross-entropies ({tags.LOSS_RATIO()})"


def _leak(history: History) -> str | None:
    moved = history[tags.CAUSALITY_LEAK()].last
    if not moved > LEAK:
        return None
    return f"changing the last position moved earlier ones by {moved:.2g} of their size ({tags.CAUSALITY_LEAK()})"


RULES = (
    Rule(
        name="delay_pattern_off",
        level="error",
        certainty="certain",
        looks_at=(tags.DELAY_VIOLATIONS,),
        opens_when="an audio span of the batch is not in the delay pattern",
        evidence=_more_than_none(tags.DELAY_VIOLATIONS, "{value} audio spans are not in the delay pattern"),
        cause="the codes were not delayed, or delayed twice: codebook k must begin with k + 1 begin codes. The model "
        "then learns to predict codebooks from frames that it will not have when it speaks.",
        cure="delay the codes once, where the batch is made (tracker_logging.families.higgs_v2.processor does), and "
        "look at inputs/audio: it must sound like speech.",
    ),
    Rule(
        name="end_codes_masked",
        level="error",
        certainty="certain",
        looks_at=(tags.EOS_LABELLED,),
        opens_when="fewer than half of the first end codes carry a label",
        evidence=_eos_masked,
        cause="the labels of the end codes are -100, as the processor's `output_labels=True` makes them. The model "
        "never learns to stop: clips will run on until their limit.",
        cure="label the first end code of each codebook and set only the fill after it to -100.",
    ),
    Rule(
        name="begin_codes_trained",
        level="warning",
        certainty="certain",
        looks_at=(tags.BOS_LABELLED,),
        opens_when="a begin code carries a label",
        evidence=_more_than_none(tags.BOS_LABELLED, "{value} % of the begin codes carry a label"),
        cause="the labels are a copy of the codes. Begin codes are the same in every clip, so part of the loss is won "
        "by saying the same code again.",
        cure="set the labels of begin codes to -100.",
    ),
    Rule(
        name="reference_trained",
        level="warning",
        certainty="certain",
        looks_at=(tags.REFERENCE_LABELLED,),
        opens_when="a position of the reference carries a label",
        evidence=_more_than_none(tags.REFERENCE_LABELLED, "{value} % of the reference's positions carry a label"),
        cause="the labels cover the voice prompt. The model is trained to speak the prompt without having heard one, "
        "which takes capacity and gradient from cloning.",
        cure="set audio_labels of every reference segment to -100.",
    ),
    Rule(
        name="prompt_text_trained",
        level="warning",
        certainty="certain",
        looks_at=(tags.PROMPT_LABELLED,),
        opens_when="text before the target's own text carries a label",
        evidence=_more_than_none(tags.PROMPT_LABELLED, "{value} % of the prompt's text carries a label"),
        cause="the text labels cover the system prompt and the user's turn, as `output_labels=True` makes them. The "
        "model is trained to write the prompt.",
        cure="set `labels` to -100 up to the assistant's turn, or train without the text head.",
    ),
    Rule(
        name="codebook_without_labels",
        level="error",
        certainty="certain",
        looks_at=(tags.LABEL_COVERAGE,),
        opens_when="less than half of the target's frames carry a label in some codebook",
        evidence=_unlabelled_codebook,
        cause="the labels of that codebook are masked, or shifted out of the span. It is not trained, and what is "
        "spoken gets its codes at random.",
        cure="label all codebooks; only begin codes and the fill after the first end code are -100.",
    ),
    Rule(
        name="labels_shifted",
        level="error",
        certainty="likely",
        looks_at=(tags.LABEL_MISMATCH,),
        opens_when="an audio label is not the code at its own position",
        evidence=_more_than_none(
            tags.LABEL_MISMATCH, "{value} % of the audio labels are not the code at their own position"
        ),
        cause="the labels were shifted before they reach a model that shifts them itself. It learns to repeat what it "
        "hears (the loss falls to 0.003) or to skip a frame, and what it speaks is silence or noise.",
        cure="give the labels unshifted: a copy of the codes, with -100 where nothing is to be learned.",
    ),
    Rule(
        name="loss_wrongly_scaled",
        level="warning",
        certainty="likely",
        looks_at=(tags.LOSS_RATIO,),
        opens_when="the model's loss is less than 0.8 or more than 1.25 times the sum of its cross-entropies",
        evidence=_loss_ratio,
        cause="the loss is divided by a wrong number of labels. The usual one: the batch has text `labels`, and the "
        "Trainer divides the audio loss by the number of text labels. Gradients are wrong by the same factor, and it "
        "changes from batch to batch.",
        cure="call tracker_logging.families.higgs_v2.labels.normalise_loss_by_audio_labels(model) before the Trainer "
        "is made, or set model.accepts_loss_kwargs = False, or drop `labels` from the batch. If you scale the loss on "
        "purpose, ignore this.",
    ),
    Rule(
        name="attention_not_causal",
        level="error",
        certainty="certain",
        looks_at=(tags.CAUSALITY_LEAK,),
        opens_when="earlier positions move by more than 0.1 % when the last one is disturbed",
        evidence=_leak,
        cause="a position sees what comes after it: the causal mask is lost (a compatibility layer, a mask built for "
        "another kernel). The loss falls to almost nothing, and free-running speech is noise.",
        cure="train with attn_implementation='sdpa' or 'eager' of an unpatched model, and check the mask that reaches "
        "the attention. What was trained so far is of no use.",
    ),
    Rule(
        name="placeholders_do_not_match",
        level="error",
        certainty="certain",
        looks_at=(tags.PLACEHOLDER_MISMATCH,),
        opens_when="a sample has not as many audio placeholders as audio frames",
        evidence=_more_than_none(
            tags.PLACEHOLDER_MISMATCH, "{value} samples have not as many audio placeholders as audio frames"
        ),
        cause="tokens and audio were prepared apart, and one of them was cut or left out. Codes end up at positions of "
        "another clip.",
        cure="expand one placeholder per delayed frame, from the same codes that are in the batch; read "
        "inputs/segments for the sample.",
    ),
    Rule(
        name="clips_cross",
        level="warning",
        certainty="certain",
        looks_at=(tags.CROSSING_SPANS,),
        opens_when="another clip begins inside an audio span",
        evidence=_more_than_none(tags.CROSSING_SPANS, "{value} audio spans hold the beginning of another clip"),
        cause="two clips follow each other with no token between them: the end of one is trained to predict the start "
        "of the next.",
        cure="put the audio end and begin tokens around every clip.",
    ),
    Rule(
        name="empty_tensors",
        level="warning",
        certainty="certain",
        looks_at=(tags.EMPTY_TENSORS,),
        opens_when="a tensor of the batch has no value",
        evidence=_more_than_none(tags.EMPTY_TENSORS, "{value} tensors of the batch are empty"),
        cause="a clip gave no codes, or the collator dropped a field. The step trains on less than you think.",
        cure="read inputs/tensors for its name, and run `tracker-logging check-data` on the training file.",
    ),
    Rule(
        name="samples_cut",
        level="warning",
        certainty="likely",
        looks_at=(tags.TRUNCATED,),
        opens_when="a sample has no end code in its last audio, or ends in the middle of a text before any target",
        evidence=_more_than_none(tags.TRUNCATED, "{value} samples of the batch were cut"),
        cause="samples are longer than the maximum length and lose their end: the end codes are gone, and the text may "
        "name words that are not in the audio.",
        cure="raise the maximum length or leave long samples out; never cut audio to fit.",
    ),
)
