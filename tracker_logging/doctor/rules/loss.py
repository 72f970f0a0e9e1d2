"""The loss against the cross-entropies that it should consist of.

>>> history = History()
>>> _ = history.add(1, {"chatml/loss_ratio": 0.17})
>>> _loss_ratio(history)
'the returned loss is 0.17 times the sum of the cross-entropies (chatml/loss_ratio)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import TRAIN_LOSS, History
from tracker_logging.doctor.rule import Cause, Rule

LOSS_RATIO_BAND = (0.8, 1.25)
LOSS_BAND = 3.0
"""The Trainer's loss is a mean over its logging steps, so that it may be off by a small factor while the nll falls."""
PAIRS = 2
"""Losses in a row, each with an nll of its own steps, that must be out of scale."""


def _loss_ratio(history: History) -> str | None:
    ratio = history[tags.LOSS_RATIO()].last
    low, high = LOSS_RATIO_BAND
    if not (ratio < low or ratio > high):
        return None
    return f"the returned loss is {ratio:.3g} times the sum of the cross-entropies ({tags.LOSS_RATIO()})"


def _loss_out_of_scale(history: History) -> str | None:
    """The Trainer's loss against the nll of the predictions at the steps that it is the mean of, twice in a row.

    Families sum or average over codebooks, hence a band.
    """
    nll, text = history[tags.NLL_MEAN()], history[tags.NLL_TEXT()]
    codebooks = max(1, len(history.family(tags.NLL)))
    compared = [
        (loss, mean, mean * codebooks + (text.mean_of(steps) if text else 0.0))
        for steps, loss in history[TRAIN_LOSS].windows()
        if loss != 0.0 and (mean := nll.mean_of(steps)) > 0  # the Trainer logs a NaN as 0
    ][-PAIRS:]
    out_of_scale = [loss < least / LOSS_BAND or loss > most * LOSS_BAND for loss, least, most in compared]
    if len(compared) < PAIRS or not all(out_of_scale):
        return None
    loss, least, most = compared[-1]
    return (
        f"the training loss is {loss:.3g} ({TRAIN_LOSS}); by the nll of the predictions it should be "
        f"{least:.3g} to {most:.3g} ({tags.NLL_MEAN()})"
    )


RULES = (
    Rule(
        name="loss_wrongly_scaled",
        level="warning",
        certainty="likely",
        triggers=(tags.LOSS_RATIO,),
        opens_when="the model's loss is less than 0.8 or more than 1.25 times the sum of its cross-entropies",
        evidence=_loss_ratio,
        causes=(
            Cause(
                "The loss is divided by a wrong number of labels: the batch has text `labels`, and the Trainer divides "
                "the audio loss by the number of text labels. Gradients are wrong by the same factor.",
                check="the batch has `labels`, and chatml/loss_ratio changes from batch to batch",
            ),
            Cause(
                "The loss has another scale on purpose: weights per codebook, label smoothing, an added term.",
                check="chatml/loss_ratio is the same in every batch, or you wrote the loss",
            ),
        ),
        fix="call tracker_logging.families.higgs_v2.labels.normalise_loss_by_audio_labels(model) before the Trainer "
        "is made, or set model.accepts_loss_kwargs = False, or drop `labels` from the batch. If you scale the loss on "
        "purpose, ignore this.",
    ),
    Rule(
        name="loss_out_of_scale",
        level="warning",
        certainty="likely",
        triggers=(TRAIN_LOSS,),
        also_reads=(tags.NLL, tags.NLL_MEAN, tags.NLL_TEXT),
        opens_when="the training loss is less than a third or more than three times what the nll of the predictions "
        "at the same steps gives, at two nlls in a row",
        evidence=_loss_out_of_scale,
        causes=(
            Cause(
                "A loss of your own is scaled, summed over positions or has the wrong sign.",
                check="`compute_loss` or `compute_loss_func` is overridden, and chatml/loss_ratio is 1 or not logged",
            ),
            Cause(
                "The loss is divided by a wrong number of labels, or not divided under gradient accumulation.",
                check="the factor is the number of accumulation steps, or changes with the lengths of the samples",
            ),
        ),
        fix="return the mean cross-entropy per codebook. A factor on the loss is a factor on the gradients before "
        "clipping.",
    ),
)
