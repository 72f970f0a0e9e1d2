"""What the model predicts: copying, non-finite values, codebooks that collapse or diverge, overfitting.

>>> history = History()
>>> _ = history.add(100, {"outputs/nll_shift0/mean": 0.02, "outputs/nll/mean": 4.1})
>>> RULES[0].evidence(history)
'the nll against unshifted labels is 0.02 nats, against the next frame 4.1 (outputs/nll_shift0/mean, outputs/nll/mean)'
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tracker_logging import tags
from tracker_logging.doctor.history import EVAL_LOSS, SMOOTH, TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Cause, Rule

_MIN_BLOCKS = 3  # below, there is no rise or fall to speak of
_SIGNIFICANT = 6.0  # times the noise: the best of a hundred blocks is about 2.5 times the noise off by chance


def _copying(history: History) -> str | None:
    unshifted, nll = history[tags.NLL_SHIFT0()].last, history[tags.NLL_MEAN()].last
    if not (unshifted < 0.5 * nll and nll - unshifted > 0.5):
        return None
    return (
        f"the nll against unshifted labels is {unshifted:.3g} nats, against the next frame {nll:.3g} "
        f"({tags.NLL_SHIFT0()}, {tags.NLL_MEAN()})"
    )


def _non_finite(history: History) -> str | None:
    read = [history[tag()] for tag in (tags.NON_FINITE_LOGITS, tags.NON_FINITE_INPUTS, tags.FIRST_NON_FINITE_LAYER)]
    step = max(series.step for series in read)
    rows, inputs, layer = (series.on(step) for series in read)
    parts = []
    if rows > 0:
        parts.append(f"{rows:g} rows of logits are NaN or infinite ({tags.NON_FINITE_LOGITS()})")
    if inputs > 0:
        parts.append(f"{inputs:g} values of the batch are NaN or infinite ({tags.NON_FINITE_INPUTS()})")
    if layer >= 0:
        parts.append(f"the first layer whose output is not finite is layer {layer:g}")
    return "; ".join(parts) or None


def _collapse(history: History) -> str | None:
    collapsed = []
    for codebook, usage in history.family(tags.USAGE).items():
        blocks, nll_blocks = usage.blocks(), history[tags.NLL(codebook=codebook)].blocks()
        if min(len(blocks), len(nll_blocks)) < _MIN_BLOCKS:
            continue
        (before, now), (nll_before, nll_now) = _usual_and_now(blocks), _usual_and_now(nll_blocks)
        is_fall = now < 0.5 * before and before - now > _SIGNIFICANT * usage.block_noise()
        if is_fall and nll_now > 0.97 * nll_before:
            collapsed.append(
                f"codebook {codebook}: usage {now:.2g}, before {before:.2g}, while its nll went from {nll_before:.3g} "
                f"to {nll_now:.3g}"
            )
    return f"{'; '.join(collapsed)} (outputs/usage)" if collapsed else None


def _usual_and_now(blocks: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The median of all blocks but the newest, and the newest."""
    return statistics.median(mean for _, mean in blocks[:-1]), blocks[-1][1]


def _dead(history: History) -> str | None:
    usages = {codebook: series.recent for codebook, series in history.family(tags.USAGE).items()}
    if len(usages) < 3 or not has_learned(history):
        return None
    dead = {}
    for codebook, usage in usages.items():
        others = statistics.median(usages[other] for other in usages if other != codebook)
        if usage < 0.1 * others:
            dead[codebook] = f"codebook {codebook} uses {usage:.2g} of its codes, the others about {others:.2g}"
    return f"{'; '.join(dead.values())} (outputs/usage)" if dead else None


def _diverging(history: History) -> str | None:
    family = history.family(tags.NLL)
    blocks = {codebook: series.blocks() for codebook, series in family.items()}
    blocks = {codebook: means for codebook, means in blocks.items() if len(means) >= _MIN_BLOCKS}
    diverging = []
    for codebook, means in blocks.items():
        others = [other for name, other in blocks.items() if name != codebook]
        if not others:
            continue
        best_step, best = min(means, key=lambda block: block[1])
        others_then = statistics.fmean(_mean_at(other, best_step) for other in others)
        others_now = statistics.fmean(other[-1][1] for other in others)
        now = means[-1][1]
        enough = max(0.3, 0.15 * best, _SIGNIFICANT * family[codebook].block_noise())
        if now - best > enough and others_now < others_then:
            diverging.append(
                f"the nll of codebook {codebook} rose from {best:.3g} (step {best_step}) to {now:.3g} while that of "
                f"the others went from {others_then:.3g} to {others_now:.3g}"
            )
    return f"{'; '.join(diverging)} (outputs/nll)" if diverging else None


def _mean_at(blocks: Sequence[tuple[int, float]], step: int) -> float:
    """The block that ends at `step`, or the first one after it."""
    return next((mean for at, mean in blocks if at >= step), blocks[-1][1])


def _overfitting(history: History) -> str | None:
    evaluation, training = history[EVAL_LOSS], history[TRAIN_LOSS]
    if len(evaluation.points) < 3:
        return None
    best_step, best = min(evaluation.points, key=lambda point: point[1])
    rise = evaluation.last - best
    then, *since = [value for step, value in training.points if step >= best_step] or [math.nan]
    now = statistics.fmean(since[-SMOOTH:] or [math.nan])
    if not (rise > max(0.05 * best, 0.01 * evaluation.first) and now < 0.98 * then):
        return None
    return (
        f"the evaluation loss rose from {best:.4g} (step {best_step}) to {evaluation.last:.4g} while the training loss "
        f"fell from {then:.4g} to {now:.4g} ({EVAL_LOSS}, {TRAIN_LOSS})"
    )


RULES = (
    Rule(
        name="copies_its_input",
        level="error",
        certainty="likely",
        triggers=(tags.NLL_SHIFT0,),
        also_reads=(tags.NLL_MEAN,),
        opens_when="the nll against unshifted labels is less than half of that against the next frame",
        evidence=_copying,
        causes=(
            Cause(
                "The loss does not shift the labels, so that the model learns to repeat the code that it is given. "
                "That is easy (a loss of 0.003 is typical) and useless: free-running it generates silence or a held "
                "tone.",
                check="a loss of your own, and chatml/label_mismatch_pct is 0",
            ),
            Cause(
                "The labels were shifted in the batch and are shifted again by the model.",
                check="chatml/label_mismatch_pct is above 0",
            ),
            Cause("The base checkpoint was trained like that.", check="the evidence is there at the first logged step"),
        ),
        fix="give unshifted labels to a model that shifts them itself (as transformers does), or shift them once in "
        "your own loss. What was trained so far cannot be used.",
        opens_after=2,
    ),
    Rule(
        name="non_finite_values",
        level="error",
        certainty="likely",
        triggers=(tags.NON_FINITE_LOGITS, tags.NON_FINITE_INPUTS, tags.FIRST_NON_FINITE_LAYER),
        opens_when="a logit or a value of the batch is NaN or infinite",
        evidence=_non_finite,
        causes=(
            Cause("The batch holds bad values.", check="inputs/non_finite is above 0; inputs/tensors names the tensor"),
            Cause(
                "Weights or activations overflow: a learning rate that is too high.",
                check="train/grad_norm rose before, and it stays at every later step",
            ),
            Cause("fp16 overflows.", check="it happens in fp16 only, at single batches"),
        ),
        fix="go back to the last good checkpoint, halve the learning rate, and use bf16 autocast or fp32; if it "
        "recurs at the same step, inspect that batch. The Trainer hides a NaN loss from its log.",
        closes_after=3,
    ),
    Rule(
        name="codebook_collapses",
        level="warning",
        certainty="likely",
        triggers=(tags.USAGE,),
        also_reads=(tags.NLL,),
        opens_when="the usage of a codebook is below half of its usual value, beyond its noise, and its nll does not "
        "fall",
        evidence=_collapse,
        causes=(
            Cause(
                "The learning rate is too high and drives the head or the embeddings to a constant.",
                check="gradients/update_ratio of heads or embeddings is above 1 %",
            ),
            Cause("The data changed to clips of few codes, such as silence.", check="inputs/audio of these steps"),
        ),
        fix="lower the learning rate and go back to an earlier checkpoint; listen to the clips of that step.",
        opens_after=3,
    ),
    Rule(
        name="dead_codebook",
        level="warning",
        certainty="likely",
        triggers=(tags.USAGE,),
        also_reads=(tags.NLL_MEAN, TRAIN_LOSS),
        opens_when="a codebook uses less than a tenth of what the others use, once the model has learned",
        evidence=_dead,
        causes=(
            Cause(
                "The training data holds (almost) one code in that codebook: codes of another codec, or a code cache "
                "filled with zeros.",
                check="its nll is near 0, and inputs/audio sounds wrong",
            ),
            Cause("Its head gets no gradient.", check="its nll is high; gradients/parameters names the part"),
        ),
        fix="listen to inputs/audio, count the codes of that codebook in the data, and rebuild the code cache.",
        opens_after=3,
    ),
    Rule(
        name="codebook_diverges",
        level="warning",
        certainty="likely",
        triggers=(tags.NLL,),
        opens_when="the nll of one codebook rises by 0.3 nats, 15 % and six times its noise from its best, while that "
        "of the others falls",
        evidence=_diverging,
        causes=(
            Cause(
                "Its labels are shifted by one more frame.", check="outputs/accuracy_map differs from its neighbours'"
            ),
            Cause("Its loss has another weight or sign.", check="chatml/loss_ratio is not 1"),
            Cause("Its head was re-initialised.", check="its nll was at chance at the first logged step"),
        ),
        fix="compare outputs/accuracy_map and chatml/label_coverage_pct of that codebook with its neighbours'.",
        opens_after=3,
    ),
    Rule(
        name="overfitting",
        level="warning",
        certainty="likely",
        triggers=(EVAL_LOSS,),
        also_reads=(TRAIN_LOSS,),
        opens_when="the evaluation loss is 5 % above its best while the training loss has fallen since, twice in a row",
        evidence=_overfitting,
        causes=(
            Cause(
                "The model memorises the training clips. Voices seen in training go on improving, new ones get worse.",
                check="voices/sim_margin of unseen speakers falls",
            ),
            Cause(
                "The evaluation data differs from the training data, and training moves away from it.",
                check="voices/sim_margin and voices/spk_top1 of unseen speakers still improve",
            ),
        ),
        fix="take the checkpoint nearest to the best step; train on more speakers, for fewer steps, or with LoRA. "
        "Judge by voices/sim_margin and voices/spk_top1.",
        opens_after=2,
    ),
)
