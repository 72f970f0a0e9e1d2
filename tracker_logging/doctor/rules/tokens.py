"""What the model predicts: copying, NaN, codebooks that collapse or diverge, overfitting.

rule.evidence(history)      # "nll against unshifted labels is 0.02, against shifted ones 4.1 (…)"
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tracker_logging import tags
from tracker_logging.doctor.history import EVAL_LOSS, TRAIN_LOSS, History, has_learned
from tracker_logging.doctor.rule import Rule

_ENOUGH = 3  # blocks before one may speak of a fall or a rise
_CERTAIN = 6.0  # times the noise: the best of a hundred blocks is about 2.5 times the noise off by luck alone


def _copying(history: History) -> str | None:
    unshifted, nll = history[tags.NLL_SHIFT0()].last, history[tags.NLL_MEAN()].last
    if not (unshifted < 0.5 * nll and nll - unshifted > 0.5):
        return None
    return (
        f"the nll against unshifted labels is {unshifted:.3g} nats, against the next frame {nll:.3g} "
        f"({tags.NLL_SHIFT0()}, {tags.NLL_MEAN()})"
    )


def _non_finite(history: History) -> str | None:
    found = []
    if (rows := history[tags.NON_FINITE_LOGITS()]).last > 0:
        found.append(f"{rows.last:g} rows of logits are NaN or infinite ({tags.NON_FINITE_LOGITS()})")
    if (inputs := history[tags.NON_FINITE_INPUTS()]).last > 0:
        found.append(f"{inputs.last:g} values of the batch are NaN or infinite ({tags.NON_FINITE_INPUTS()})")
    layer = history[tags.FIRST_NON_FINITE_LAYER()]
    if layer and layer.step == max(rows.step, inputs.step, layer.step):
        found.append(f"the first layer whose output is not finite is layer {layer.last:g}")
    return "; ".join(found) or None


def _collapse(history: History) -> str | None:
    found = []
    for codebook, usage in history.family(tags.USAGE).items():
        blocks, nll_blocks = usage.blocks(), history[tags.NLL(codebook=codebook)].blocks()
        if min(len(blocks), len(nll_blocks)) < _ENOUGH:
            continue
        (before, now), (nll_before, nll_now) = _usual_and_now(blocks), _usual_and_now(nll_blocks)
        is_fall = now < 0.5 * before and before - now > _CERTAIN * usage.block_noise()
        if is_fall and nll_now > 0.97 * nll_before:
            found.append(
                f"codebook {codebook}: usage {now:.2g}, before {before:.2g}, while its nll went from {nll_before:.3g} "
                f"to {nll_now:.3g}"
            )
    return f"{'; '.join(found)} (outputs/usage)" if found else None


def _usual_and_now(blocks: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The median of all blocks but the newest, and the newest."""
    return statistics.median(mean for _, mean in blocks[:-1]), blocks[-1][1]


def _dead(history: History) -> str | None:
    usages = {codebook: series.recent for codebook, series in history.family(tags.USAGE).items()}
    if len(usages) < 3 or not has_learned(history, nll=tags.NLL_MEAN()):
        return None
    dead = {}
    for codebook, usage in usages.items():
        others = statistics.median(own for other, own in usages.items() if other != codebook)
        if usage < 0.1 * others:
            dead[codebook] = f"codebook {codebook} uses {usage:.2g} of its codes, the others about {others:.2g}"
    return f"{'; '.join(dead.values())} (outputs/usage)" if dead else None


def _diverging(history: History) -> str | None:
    family = history.family(tags.NLL)
    blocks = {codebook: series.blocks() for codebook, series in family.items()}
    blocks = {codebook: own for codebook, own in blocks.items() if len(own) >= _ENOUGH}
    found = []
    for codebook, own in blocks.items():
        others = [other for name, other in blocks.items() if name != codebook]
        if not others:
            continue
        best_step, best = min(own, key=lambda block: block[1])
        others_then = statistics.fmean(_mean_at(other, best_step) for other in others)
        others_now = statistics.fmean(other[-1][1] for other in others)
        now = own[-1][1]
        enough = max(0.3, 0.15 * best, _CERTAIN * family[codebook].block_noise())
        if now - best > enough and others_now < others_then:
            found.append(
                f"the nll of codebook {codebook} rose from {best:.3g} (step {best_step}) to {now:.3g} while that of "
                f"the others went from {others_then:.3g} to {others_now:.3g}"
            )
    return f"{'; '.join(found)} (outputs/nll)" if found else None


def _mean_at(blocks: Sequence[tuple[int, float]], step: int) -> float:
    """The block that ends at `step`, or the first one after it."""
    return next((mean for at, mean in blocks if at >= step), blocks[-1][1])


def _overfitting(history: History) -> str | None:
    evaluation, training = history[EVAL_LOSS], history[TRAIN_LOSS]
    if len(evaluation.points) < 3 or not training:
        return None
    best_step, best = min(evaluation.points, key=lambda point: point[1])
    rise = evaluation.last - best
    then = training.at(best_step)
    if not (rise > max(0.05 * best, 0.01 * evaluation.first) and training.recent < 0.98 * then):
        return None
    return (
        f"the evaluation loss rose from {best:.4g} (step {best_step}) to {evaluation.last:.4g} while the training loss "
        f"fell from {then:.4g} to {training.recent:.4g} ({EVAL_LOSS}, {TRAIN_LOSS})"
    )


RULES = (
    Rule(
        name="copies_its_input",
        level="error",
        certainty="likely",
        looks_at=(tags.NLL_SHIFT0,),
        also_reads=(tags.NLL_MEAN,),
        opens_when="the nll against unshifted labels is less than half of that against the next frame",
        evidence=_copying,
        cause="the labels are not shifted: the model learns to repeat the code that it is given, which is easy (a loss "
        "of 0.003 is typical) and useless: what it speaks is silence or a held tone.",
        cure="give labels unshifted to a model that shifts them itself (transformers does), or shift them once in your "
        "own loss. What was trained so far is of no use.",
        opens_after=2,
    ),
    Rule(
        name="non_finite_values",
        level="error",
        certainty="certain",
        looks_at=(tags.NON_FINITE_LOGITS, tags.NON_FINITE_INPUTS, tags.FIRST_NON_FINITE_LAYER),
        opens_when="a logit or a value of the batch is NaN or infinite",
        evidence=_non_finite,
        cause="the values overflow from the named layer on: a learning rate that is too high, fp16, or bad values in "
        "the batch (inputs/tensors names the tensor). The Trainer hides a NaN loss from its log.",
        cure="go back to the last good checkpoint, halve the learning rate, and use bf16 or fp32; if it comes back at "
        "the same step, look at that batch.",
        closes_after=3,
    ),
    Rule(
        name="codebook_collapses",
        level="warning",
        certainty="likely",
        looks_at=(tags.USAGE,),
        also_reads=(tags.NLL,),
        opens_when="the usage of a codebook is below half of its usual value, beyond its noise, and its nll does not "
        "fall",
        evidence=_collapse,
        cause="the codebook is predicted by ever fewer codes: its head or its embeddings are pushed to a constant, "
        "often by too high a learning rate.",
        cure="lower the learning rate and go back to a checkpoint from before; listen to the clips of that step.",
        opens_after=3,
    ),
    Rule(
        name="dead_codebook",
        level="warning",
        certainty="likely",
        looks_at=(tags.USAGE,),
        also_reads=(tags.NLL_MEAN, TRAIN_LOSS),
        opens_when="a codebook uses less than a tenth of what the others use, once the model has learned",
        evidence=_dead,
        cause="the training data holds (almost) one code in that codebook, or its head gets no gradient. The first: "
        "codes of another codec, or a cache filled with zeros.",
        cure="listen to inputs/audio, count the codes of that codebook in the data, and make the code cache anew.",
        opens_after=3,
    ),
    Rule(
        name="codebook_diverges",
        level="warning",
        certainty="likely",
        looks_at=(tags.NLL,),
        opens_when="the nll of one codebook rises by 0.3 nats, 15 % and six times its noise from its best, while that "
        "of the others falls",
        evidence=_diverging,
        cause="that codebook is trained on something else than the others: labels shifted by one more frame, weights "
        "of its loss, or a head that was re-initialised.",
        cure="compare outputs/accuracy_map and chatml/label_coverage_pct of that codebook with its neighbours'.",
        opens_after=3,
    ),
    Rule(
        name="overfitting",
        level="warning",
        certainty="likely",
        looks_at=(EVAL_LOSS,),
        also_reads=(TRAIN_LOSS,),
        opens_when="the evaluation loss is 5 % above its best while the training loss has fallen since, twice in a row",
        evidence=_overfitting,
        cause="the model learns the training clips by heart. Voices seen in training go on improving, new ones get "
        "worse.",
        cure="take the checkpoint nearest to the best step; train on more speakers or for fewer steps, or use LoRA. "
        "Judge by voices/sim_margin and voices/spk_top1, which may still improve.",
        opens_after=2,
    ),
)
