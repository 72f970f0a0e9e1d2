"""The one table of tags: every name that is logged, with its unit and its meaning. No tag is built anywhere else.

>>> NLL(codebook=3)
'outputs/nll/codebook_3'
>>> find("outputs/nll/codebook_3").unit
'nats'
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Literal, TypeAlias
from unicodedata import category

Kind: TypeAlias = Literal["scalar", "histogram", "text", "table", "image", "audio", "voice"]
Better: TypeAlias = Literal["higher", "lower", "zero", "one", ""]
Owner: TypeAlias = Literal["inputs", "outputs", "attention", "zero_shot", "doctor", "tracker"]


@dataclass(frozen=True)
class Tag:
    """A name, or a family of names with `{fields}`. Calling it fills the fields in.

    `optional` says on what the tag depends where it is not always logged ("" = always, when its callback runs).
    """

    template: str
    kind: Kind
    unit: str
    meaning: str
    owner: Owner
    optional: str = ""

    def __call__(self, **fields: object) -> str:
        return self.template.format(**fields)

    def filled(self, **fields: str) -> Tag:
        """The family of those whose `fields` have these values.

        >>> PART_LOW.filled(kind="group", score="sim_margin").template
        'voices/group/{member}/sim_margin/low'
        """
        template = self.template
        for field, value in fields.items():
            template = template.replace(f"{{{field}}}", value)
        return replace(self, template=template)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches every name of the family."""
        literal = re.split(r"\{\w+\}", self.template)
        return re.compile(r"[^/]+".join(re.escape(part) for part in literal) + r"\Z")


_ALL: list[Tag] = []


def _tag(template: str, kind: Kind, unit: str, meaning: str, owner: Owner, optional: str = "") -> Tag:
    tag = Tag(template, kind, unit, meaning, owner, optional)
    _ALL.append(tag)
    return tag


# --- inputs: what the model is given -------------------------------------------------------------------------------
SAMPLES = _tag("inputs/samples", "table", "", "decoded samples of the batch, special tokens visible, runs of audio placeholders collapsed", "inputs")
TENSORS = _tag("inputs/tensors", "table", "", "every tensor of the batch: name, shape, dtype, min, max, mean, non-finite, first values", "inputs")
SEGMENTS = _tag("inputs/segments", "table", "", "audio segments: sample, role, position, frames, seconds", "inputs")
HARD_SAMPLES = _tag("inputs/hard_samples", "table", "", "samples of this training with the highest loss, with loss that does not fall, or with loss far above the others each time (text and audio may differ), and prompts whose own text or reference does not help: target text, its length, nll, median nll of the samples before it, first nll, how often it was measured, and the gaps of reference and text (nll with another sample's − with its own). `tracker-logging check-data DATA --losses RUN` names their file and line", "outputs", "target texts can be decoded")
INPUT_AUDIO = _tag("inputs/audio", "audio", "", "references and targets of the first sample as the model receives them, decoded from their codes", "inputs", "a codec")
SEQUENCE_LENGTH = _tag("inputs/length/{which}", "scalar", "tokens", "sequence length without padding: mean or max over the batch", "inputs")
PADDING = _tag("inputs/padding_pct", "scalar", "%", "share of padded positions in the batch", "inputs")
AUDIO_SECONDS = _tag("inputs/audio_s/{role}", "scalar", "s", "audio seconds per sample in the batch, by role", "inputs", "that role is in the batch")
NON_FINITE_INPUTS = _tag("inputs/non_finite", "scalar", "count", "non-finite values in the batch", "inputs")
TEXT_LABEL_COVERAGE = _tag("chatml/label_coverage_pct/text", "scalar", "%", "share of text positions that carry a label", "inputs", "text is trained")
LABEL_COVERAGE = _tag("chatml/label_coverage_pct/codebook_{codebook}", "scalar", "%", "share of target frames that carry a label, by codebook", "inputs")
EOS_LABELLED = _tag("chatml/eos_labelled_pct", "scalar", "%", "share of target segments and codebooks whose first end code is trained", "inputs")
REFERENCE_LABELLED = _tag("chatml/reference_labelled_pct", "scalar", "%", "share of reference positions that carry a label (should be 0). A clip that is labelled like a target counts as a target: see chatml/pair_labelled_pct", "inputs", "a reference is in the batch")
PAIR_LABELLED = _tag("chatml/pair_labelled_pct", "scalar", "%", "share of the samples of two clips in which both are trained: two targets, or a voice prompt that is trained by mistake; not logged beside a sample of more clips of which several are trained", "inputs", "samples of two clips")
TARGETS = _tag("chatml/targets_per_sample", "scalar", "count", "trained clips per sample that has one", "inputs", "a target is in the batch")
WITH_LABELS = _tag("chatml/with_labels_pct", "scalar", "%", "share of samples with at least one labelled audio position (text position, for a family without audio labels)", "inputs", "the batch has labels")
REFERENCE_IS_TARGET = _tag("chatml/reference_is_target", "scalar", "count", "samples whose reference has the same codes as their target (should be 0)", "inputs", "a reference is in the batch")
SAME_TARGET = _tag("chatml/same_target_pct", "scalar", "%", "share of the samples with a target whose target codes are those of another sample of the batch", "inputs", "two samples with a target are in the batch")
SAME_TEXT = _tag("chatml/same_text_pct", "scalar", "%", "share of the samples whose target text is that of another sample of the batch with another target", "inputs", "two samples with target text are in the batch")
WITH_REFERENCE = _tag("chatml/with_reference_pct", "scalar", "%", "share of samples with target audio that have other audio before a target: a reference, or an earlier target of the same sample", "inputs", "a target is in the batch")
BOS_LABELLED = _tag("chatml/bos_labelled_pct", "scalar", "%", "share of begin codes that carry a label (should be 0)", "inputs", "audio is trained")
LABEL_MISMATCH = _tag("chatml/label_mismatch_pct", "scalar", "%", "share of audio labels that are not the code at their own position (should be 0: the model shifts labels itself)", "inputs", "audio is trained")
LABEL_ELSEWHERE = _tag("chatml/label_elsewhere_pct", "scalar", "%", "highest share of audio labels that are the code of a frame one or two positions before or after (above 100 minus the mismatch: the labels are shifted)", "inputs", "audio is trained")
PROMPT_LABELLED = _tag("chatml/prompt_labelled_pct", "scalar", "%", "share of the text before the target's own text that carries a label (should be 0)", "inputs", "text is trained")
DELAY_VIOLATIONS = _tag("chatml/delay_violations", "scalar", "count", "audio spans whose codes are not in the delay pattern", "inputs")
CROSSING_SPANS = _tag("chatml/crossing_spans", "scalar", "count", "audio spans in which another clip begins: the end of one would predict the start of the next", "inputs")
EMPTY_TENSORS = _tag("chatml/empty_tensors", "scalar", "count", "tensors of the batch without a single value", "inputs")
PLACEHOLDER_MISMATCH = _tag("chatml/placeholder_mismatch", "scalar", "count", "samples whose audio placeholder tokens are not as many as the audio frames given; written before the model sees the batch", "inputs")
TRUNCATED = _tag("chatml/truncated", "scalar", "count", "samples that were cut: no end code in their last audio, or (without any target) an end in the middle of a text", "inputs")
CAUSALITY_LEAK = _tag("chatml/causality_leak", "scalar", "", "largest relative movement of an earlier position of the last layer when the last position is disturbed (0 = causal); once, at the first logged step", "inputs", "the family's layers are known")
LOSS_RATIO = _tag("chatml/loss_ratio", "scalar", "", "loss that the model returned / what our own cross-entropies say it should be (1 = healthy)", "outputs", "audio is trained")
VIOLATIONS = _tag("chatml/violations", "scalar", "count", "violations of the expected structure in the batch", "inputs")
VIOLATION_TABLE = _tag("chatml/violation_list", "table", "", "the violations: sample, what, fix", "inputs", "there are violations")

# --- outputs: what the model predicts, teacher-forced ----------------------------------------------------------------
NLL = _tag("outputs/nll/codebook_{codebook}", "scalar", "nats", "mean cross-entropy at labelled positions", "outputs")
NLL_MEAN = _tag("outputs/nll/mean", "scalar", "nats", "mean cross-entropy over all labelled codes", "outputs")
NLL_TEXT = _tag("outputs/nll/text", "scalar", "nats", "mean cross-entropy at labelled text positions", "outputs", "text is trained")
NLL_SHIFT0 = _tag("outputs/nll_shift0/mean", "scalar", "nats", "the same against unshifted labels; far below nll = the model copies its input", "outputs")
ACCURACY = _tag("outputs/accuracy/codebook_{codebook}", "scalar", "share", "most likely code is the label", "outputs")
ACCURACY_MEAN = _tag("outputs/accuracy/mean", "scalar", "share", "the same over all labelled codes", "outputs")
ACCURACY_TEXT = _tag("outputs/accuracy/text", "scalar", "share", "most likely text token is the label", "outputs", "text is trained")
TOP5 = _tag("outputs/top5/codebook_{codebook}", "scalar", "share", "label is among the five most likely codes", "outputs")
ENTROPY = _tag("outputs/entropy/codebook_{codebook}", "scalar", "nats", "mean entropy of the predicted distribution", "outputs")
PERPLEXITY = _tag("outputs/perplexity/codebook_{codebook}", "scalar", "codes", "exp(nll)", "outputs")
USAGE = _tag("outputs/usage/codebook_{codebook}", "scalar", "share", "exp(entropy of the predicted-code histogram) / codebook size", "outputs")
OUTSIDE = _tag("outputs/outside_pct/codebook_{codebook}", "scalar", "%", "share of the most likely tokens that are no code of the codebook that comes next (text, control token, another slot)", "outputs", "codes are in the text vocabulary")
NON_FINITE_LOGITS = _tag("outputs/non_finite_logits", "scalar", "count", "labelled rows of logits with a non-finite value, left out of the means", "outputs")
FIRST_NON_FINITE_LAYER = _tag("outputs/first_non_finite_layer", "scalar", "layer", "first layer whose output holds a non-finite value", "outputs", "a non-finite value")
PREDICTIONS = _tag("outputs/predictions", "table", "", "first and last ten label / prediction pairs, for text and each codebook", "outputs")
TEXTS = _tag("outputs/texts", "table", "", "decoded target text beside the predicted text", "outputs", "text is trained")
ACCURACY_MAP = _tag("outputs/accuracy_map", "image", "", "codebook × frame of one target: is the most likely code the label", "outputs")
TEACHER_FORCED_AUDIO = _tag("outputs/teacher_forced", "audio", "", "the target beside the most likely codes given the true past", "outputs", "a codec")
EVAL_NLL = _tag("eval_outputs/nll/codebook_{codebook}", "scalar", "nats", "as outputs/nll, over the whole evaluation set", "outputs", "evaluation")
EVAL_NLL_MEAN = _tag("eval_outputs/nll/mean", "scalar", "nats", "as outputs/nll/mean, over the whole evaluation set", "outputs", "evaluation")
EVAL_ACCURACY = _tag("eval_outputs/accuracy/codebook_{codebook}", "scalar", "share", "as outputs/accuracy, over the whole evaluation set", "outputs", "evaluation")
EVAL_TOP5 = _tag("eval_outputs/top5/codebook_{codebook}", "scalar", "share", "as outputs/top5, over the whole evaluation set", "outputs", "evaluation")
EVAL_ENTROPY = _tag("eval_outputs/entropy/codebook_{codebook}", "scalar", "nats", "as outputs/entropy, over the whole evaluation set", "outputs", "evaluation")
EVAL_PERPLEXITY = _tag("eval_outputs/perplexity/codebook_{codebook}", "scalar", "codes", "as outputs/perplexity, over the whole evaluation set", "outputs", "evaluation")
EVAL_USAGE = _tag("eval_outputs/usage/codebook_{codebook}", "scalar", "share", "as outputs/usage, over the whole evaluation set", "outputs", "evaluation")
EVAL_NLL_TEXT = _tag("eval_outputs/nll/text", "scalar", "nats", "as outputs/nll/text, over the whole evaluation set", "outputs", "evaluation, text is trained")
EVAL_ACCURACY_TEXT = _tag("eval_outputs/accuracy/text", "scalar", "share", "as outputs/accuracy/text, over the whole evaluation set", "outputs", "evaluation, text is trained")
EVAL_ACCURACY_MEAN = _tag("eval_outputs/accuracy/mean", "scalar", "share", "as outputs/accuracy/mean, over the whole evaluation set", "outputs", "evaluation")

# --- latents: models that predict continuous latents, in place of codes ---------------------------------------------------
FLOW_LOSS = _tag("latents/flow_loss/mean", "scalar", "", "squared error of the predicted velocity at the noise that the training drew, mean over frames and dimensions, unweighted", "outputs", "latents are trained")
FLOW_LOSS_LEVEL = _tag("latents/flow_loss/noise_{level}", "scalar", "", "the same at frames with that share of noise, in percent", "outputs", "latents are trained")
FLOW_LOSS_FRAMES = _tag("latents/flow_loss_frames", "image", "", "flow loss of each frame of one target", "outputs", "latents are trained")
OWN_FRAME_SEEN = _tag("latents/own_frame_seen_pct", "scalar", "%", "share of the trained frames that are predicted from a position that has already seen them; above 0 the loss is low and generation does not learn", "outputs", "latents are trained, the batch names the positions")
WRONG_NOISE = _tag("latents/wrong_noise_pct", "scalar", "%", "share of the noise draws whose noise is not that of the level in the target of the loss", "outputs", "latents are trained, the batch names the positions")
EOS_LOSS = _tag("latents/eos_loss", "scalar", "nats", "binary cross-entropy of the end of speech, over all frames", "outputs", "latents are trained")
EOS_ACCURACY = _tag("latents/eos_accuracy", "scalar", "share", "frames at which the model decides rightly whether the speech ends, at the threshold of its generation", "outputs", "latents are trained")
EOS_RECALL = _tag("latents/eos_recall", "scalar", "share", "ends of speech that the model finds; at 0 generation never stops", "outputs", "latents are trained")
LATENT_SPREAD = _tag("latents/spread_ratio/{which}", "scalar", "", "standard deviation of the latents sampled given the true past / of the targets, mean or min over dimensions; far below 1 = collapse to an average", "outputs", "latents are trained")
LATENT_DRIFT = _tag("latents/drift/{which}", "scalar", "", "distance of the mean of the sampled latents from that of the targets in standard deviations, mean or max over dimensions", "outputs", "latents are trained")
LATENT_MAP = _tag("latents/dimension_map", "image", "", "dimension × mean and standard deviation, of the targets and of the sampled latents", "outputs", "latents are trained")

# --- attention: who listens to whom, and what moves --------------------------------------------------------------------
MASS = _tag("attention/mass/{query}_to_{key}/layer_{layer}", "scalar", "share", "attention of the query group that falls on the key group, mean over heads", "attention", "both groups are in the sample")
MASS_MEAN = _tag("attention/mass/{query}_to_{key}/mean", "scalar", "share", "the same, mean over layers", "attention", "both groups are in the sample")
MASS_MAP = _tag("attention/mass_map", "image", "", "layer × relation: where each group looks", "attention", "both groups are in the sample")
ATTENTION_ENTROPY = _tag("attention/entropy/layer_{layer}", "scalar", "nats", "mean entropy of the attention of sampled target rows, mean over heads", "attention")
ALIGNMENT_HEADS = _tag("attention/alignment_heads", "image", "", "layer × head: diagonality of target → target text; the peak is the alignment head", "attention", "target text and audio are in the sample")
DIAGONALITY = _tag("attention/diagonality", "scalar", "share", "1 − mean distance of the alignment head's centre of mass from the straight line", "attention", "target text and audio are in the sample")
ATTENTION_HEATMAP = _tag("attention/heatmap/layer_{layer}", "image", "", "attention of one layer, mean over heads, with token labels and group boundaries", "attention")
FFN_RMS = _tag("dualffn/rms/{path}/layer_{layer}", "scalar", "", "RMS of what the text or audio FFN path adds to the residual", "attention", "the family has that path")
FFN_MAP = _tag("dualffn/rms_map", "image", "", "layer × path: RMS of the residual update", "attention", "the family has two paths")
GRADIENT_NORM = _tag("gradients/norm/{component}", "scalar", "", "L2 norm of the gradient of a component (`attention_q`, `_k`, `_v`, `_o`, `text_ffn`, `audio_ffn`, `norms`, `embeddings`, `heads`; `lora_` before it for adapters), before clipping", "attention")
GRADIENT_MAP = _tag("gradients/norm_map", "image", "", "component × layer: gradient norm", "attention")
UPDATE_RATIO = _tag("gradients/update_ratio/{component}", "scalar", "", "‖ΔW‖ / ‖W‖ of one optimizer step, from at most 16,384 weights of each tensor", "attention")
SHRINK = _tag("gradients/shrink/{component}", "scalar", "", "−ΔW · W / ‖W‖² of one optimizer step: the part of the update that only makes the weights smaller, as weight decay does; from the same weights", "attention")
CLIP_FACTOR = _tag("gradients/clip_factor", "scalar", "", "norm of the whole gradient after clipping / before it; 1 = not clipped", "attention", "no gradient scaler and no DeepSpeed")
UPDATE_MAP = _tag("gradients/update_map", "image", "", "component × layer: the same", "attention")
ROUNDED_TO_ZERO = _tag("gradients/rounded_to_zero_pct", "scalar", "%", "share of the bf16 or fp16 weights with a gradient whose update rounds to zero, from at most 16,384 weights of each tensor", "attention", "weights in bf16 or fp16 are trained")
SKIPPED_STEP = _tag("gradients/skipped_step", "scalar", "", "1: the fp16 gradient scaler skipped this optimizer step", "attention", "a non-finite value")
TRAINABLE = _tag("gradients/trainable_pct/{component}", "scalar", "%", "share of a component's weights that is not frozen", "attention")
REACHED = _tag("gradients/reached_pct/{component}", "scalar", "%", "share of a component's trained weights that is in tensors whose gradient is not zero", "attention", "the component is not frozen")
GRADIENT_COSINE = _tag("gradients/text_audio_cosine", "scalar", "cosine", "agreement of the gradients of text and audio loss in the last shared attention layers", "attention", "log_grad_conflict and text is trained")
PARAMETER_STATES = _tag("gradients/parameters", "table", "", "component × layer: trained, frozen or without gradient; gradient norm and update ratio", "attention")

# --- zero-shot: the voice ------------------------------------------------------------------------------------------------
VOICE_TABLE = _tag("voices/table", "table", "", "one row per voice: texts, scores, stop reason", "zero_shot")
VOICE_TEXT = _tag("voices/{voice}/text", "table", "", "what was asked for, the transcript and the scores of one voice at one step; written with its clips", "zero_shot")
VOICE_MEL = _tag("voices/{voice}/mel", "image", "", "mels and pitch of the clips of one voice under each other; written with its clips", "zero_shot")
VOICE_CLIP = _tag("voices/{voice}/{clip}", "audio", "", "one clip of one voice, where a backend shows one clip per tag (TensorBoard)", "zero_shot")
SPK_TOP1 = _tag("voices/spk_top1", "scalar", "share", "clips whose nearest prompt is their own speaker's", "zero_shot", "a speaker encoder and two speakers")
SPK_TOP1_CHANCE = _tag("voices/spk_top1_chance", "scalar", "share", "what spk_top1 is for voices that have nothing to do with their prompts", "zero_shot", "a speaker encoder and two speakers")
SPK_EER = _tag("voices/spk_eer", "scalar", "share", "equal error rate of own prompt against other speakers' prompts; 0.5 = chance", "zero_shot", "a speaker encoder and two speakers")
WITHIN_SPEAKER = _tag("voices/within_speaker", "scalar", "cosine", "mean similarity of generated clips of one speaker", "zero_shot", "a speaker encoder and two prompts of a speaker")
BETWEEN_SPEAKER = _tag("voices/between_speaker", "scalar", "cosine", "mean similarity of generated clips of different speakers; rises when voices collapse to one", "zero_shot", "a speaker encoder and two speakers")
BETWEEN_SPEAKER_REAL = _tag("voices/between_speaker_real", "scalar", "cosine", "the same between the prompts themselves", "zero_shot", "a speaker encoder and two speakers")
MARGIN_RETAINED = _tag("voices/margin_retained", "scalar", "share", "sim_margin as a share of the real clips' margin", "zero_shot", "a speaker encoder, targets and two speakers")
WER = _tag("voices/wer", "scalar", "share", "word errors over all words of the valid clips", "zero_shot", "a transcriber")
WER_REAL = _tag("voices/wer_real", "scalar", "share", "the same of the real target recordings: the floor", "zero_shot", "a transcriber and targets")
CER = _tag("voices/cer", "scalar", "share", "character errors over all characters of the valid clips", "zero_shot", "a transcriber")
CER_REAL = _tag("voices/cer_real", "scalar", "share", "the same of the real target recordings: the floor", "zero_shot", "a transcriber and targets")
LANGUAGE_SCORE = _tag("voices/language/{language}/{score}", "scalar", "", "a score over the valid clips of a language, or of a pair reference>target: sim_o, sim_margin, spk_top1, wer, cer, dur_ratio", "zero_shot", "two languages")
GROUP_SCORE = _tag("voices/group/{group}/{score}", "scalar", "", "the same scores over the valid clips of a group of voices, such as `trained` and `unseen`", "zero_shot", "two groups")
PART_LOW = _tag("voices/{kind}/{member}/{score}/low", "scalar", "", "lower end of the 95 % interval of a score of a language or group, over speakers", "zero_shot", "two languages or groups, of five speakers")
PART_HIGH = _tag("voices/{kind}/{member}/{score}/high", "scalar", "", "upper end of the same interval", "zero_shot", "two languages or groups, of five speakers")
PART_N = _tag("voices/{kind}/{member}/{score}/n", "scalar", "count", "clips of a language or group that have the score", "zero_shot", "two languages or groups")
TRAINED, UNSEEN = "trained", "unseen"
"""What names of groups begin with whose voices were trained or not; groups that follow from speakers have these names."""


def trained_first(groups: Iterable[str]) -> list[str]:
    """Names of groups in the order in which they are shown.

    >>> trained_first(["real", "unseen", "trained"])
    ['trained', 'real', 'unseen']
    """
    return sorted(groups, key=lambda name: (not name.startswith(TRAINED), name))


PART_SCORES = ("sim_o", "sim_margin", "spk_top1", "wer", "cer", "dur_ratio")
"""The scores of each language and group."""
SPEAKER_TABLE = _tag("voices/speakers", "table", "", "one row per speaker: clips and means of the scores", "zero_shot")
INSTRUMENT_TABLE = _tag("voices/instruments", "table", "", "what measures each kind of score; values of two speaker encoders do not compare", "zero_shot")
RATING_TABLE = _tag("voices/ratings", "table", "", "what listeners judged in blind tests: mean, interval, p value, verdict and agreement (Krippendorff's alpha)", "zero_shot", "`tracker-logging ratings --log-to RUN` added it")
VALID_CLIPS = _tag("voices/valid_clips", "scalar", "count", "generated clips with speech, finite and not clipped", "zero_shot")
INVALID_CLIPS = _tag("voices/invalid_clips", "scalar", "count", "generated clips that are silent, too short, non-finite or clipped; left out of means", "zero_shot")
SILENT_CLIPS = _tag("voices/silent_clips", "scalar", "count", "generated clips with less than 0.3 s of speech", "zero_shot", "a clip was generated")
CLIPPED_CLIPS = _tag("voices/clipped_clips", "scalar", "count", "generated clips with more than 5 % of their samples at full scale", "zero_shot", "a clip was generated")
FAILED_VOICES = _tag("voices/failed", "scalar", "count", "prompts without a generated clip, for an error or a time-out", "zero_shot")
STOPPED = _tag("voices/stopped_pct", "scalar", "%", "clips that stopped by themselves", "zero_shot")
REAL_TIME_FACTOR = _tag("voices/rtf", "scalar", "s/s", "seconds of generation per second of generated audio, all ranks and batches of the round together", "zero_shot", "a clip was generated")
GENERATED_FRAMES_PER_S = _tag("voices/frames_per_s", "scalar", "1/s", "generated audio frames per second of generation, likewise", "zero_shot", "a clip was generated")
VOICE_ROUND_COST = _tag("voices/cost/{part}_s", "scalar", "s", "wall time of a round of voices: generation on the training thread, scoring off it", "zero_shot")
VOICE_SCORE = _tag("voices/{score}/mean", "scalar", "", "mean of a score over the valid clips", "zero_shot", "its scorer is installed")
VOICE_LOW = _tag("voices/{score}/low", "scalar", "", "lower end of the 95 % interval of a score or of a number over the set, over speakers", "zero_shot", "five speakers have the score")
VOICE_HIGH = _tag("voices/{score}/high", "scalar", "", "upper end of the same interval", "zero_shot", "five speakers have the score")
VOICE_N = _tag("voices/{score}/n", "scalar", "count", "clips that have the score", "zero_shot", "its scorer is installed")
CONDITIONING_GAP = _tag("conditioning/gap/codebook_{codebook}", "scalar", "nats", "nll of the target with another speaker's reference − with the true one", "zero_shot", "two speakers")
CONDITIONING_GAP_MEAN = _tag("conditioning/gap/mean", "scalar", "nats", "the same over all codebooks", "zero_shot", "two speakers")
CONDITIONING_GAP_NULL = _tag("conditioning/gap_null/mean", "scalar", "nats", "nll of the target with no reference − with the true one", "zero_shot")
CONDITIONING_LOW = _tag("conditioning/{which}/low", "scalar", "nats", "lower end of the 95 % interval, over speakers, of the gap, the null gap or the text gap", "zero_shot", "prompts of five speakers")
CONDITIONING_HIGH = _tag("conditioning/{which}/high", "scalar", "nats", "upper end of the same interval", "zero_shot", "prompts of five speakers")
CONDITIONING_N = _tag("conditioning/{which}/n", "scalar", "count", "prompts in the gap, the null gap or the text gap", "zero_shot")
CONDITIONING_WIN_RATE = _tag("conditioning/win_rate", "scalar", "share", "prompts whose true reference is better than another speaker's", "zero_shot", "two speakers")
CONDITIONING_WINS = _tag("conditioning/win_rate/codebook_{codebook}", "scalar", "share", "the same by codebook", "zero_shot", "two speakers")
TEXT_GAP = _tag("conditioning/text_gap/codebook_{codebook}", "scalar", "nats", "nll of the target with another sample's text − with its own; at zero the text is not used (texts shifted against the audio, or ignored)", "zero_shot", "two texts")
TEXT_GAP_MEAN = _tag("conditioning/text_gap/mean", "scalar", "nats", "the same over all codebooks", "zero_shot", "two texts")
TEXT_WIN_RATE = _tag("conditioning/text_win_rate", "scalar", "share", "prompts whose own text is better than another sample's", "zero_shot", "two texts")
TEXT_WINS = _tag("conditioning/text_win_rate/codebook_{codebook}", "scalar", "share", "the same by codebook", "zero_shot", "two texts")
CONDITIONING_SAMPLES = _tag("conditioning/samples", "table", "", "each prompt: target text, its length, nll of the target, and how much higher the nll is with another speaker's reference, without a reference, and with another sample's text", "zero_shot")
VOICE = _tag("voices/{voice}", "voice", "", "one fixed prompt: reference, target, codec copy and generated clip with scores", "zero_shot")

# --- doctor: what is wrong, in words ---------------------------------------------------------------------------------------
FINDINGS = _tag("doctor/findings", "table", "", "all findings so far, open and resolved: evidence, cause, fix; written when one opens or closes, and at the end", "doctor", "there is a finding")
OPEN_FINDINGS = _tag("doctor/open/{level}", "scalar", "count", "findings that are open, by level: info, warning, error", "doctor")
FINDING = _tag("doctor/finding/{name}", "scalar", "", "1 while a finding is open, 0 once it is resolved", "doctor", "there was an alert of that name")

# --- tracker: what we cost -------------------------------------------------------------------------------------------------
TOKENS_PER_S = _tag("throughput/tokens_per_s", "scalar", "1/s", "tokens of a logged step, all ranks, over its time from step begin to step end, the probes' own time included", "tracker")
FRAMES_PER_S = _tag("throughput/frames_per_s", "scalar", "1/s", "audio frames of a logged step, likewise", "tracker")
AUDIO_PER_S = _tag("throughput/audio_s_per_s", "scalar", "s/s", "seconds of audio of a logged step, likewise", "tracker", "a codec")
DATA_WAIT = _tag("throughput/data_wait_pct", "scalar", "%", "share of wall time since the last logged step that the training thread waited for batches", "tracker", "there was a step before")
PEAK_MEMORY = _tag("memory/peak_gib", "scalar", "GiB", "most memory that rank 0 has held so far: by tensors on its GPU, else by the process", "tracker")
OVERHEAD = _tag("tracker/overhead_pct", "scalar", "%", "share of wall time that we spent on the training thread since the last logged step", "tracker")
OVERHEAD_TOTAL = _tag("tracker/overhead_total_pct", "scalar", "%", "the same since the beginning of training", "tracker")
BUDGET = _tag("tracker/budget_pct", "scalar", "%", "the share that the overhead is kept under (--logging_budget_pct)", "tracker")
STRIDE = _tag("tracker/stride/{component}", "scalar", "", "1 = as often as asked for, 2 = every second time, …: thinned to keep the budget", "tracker")
ERRORS = _tag("tracker/errors", "scalar", "count", "exceptions of ours so far; none reached training", "tracker")
MISSING = _tag("tracker/missing", "scalar", "count", "families of tags that were promised and did not arrive so far; the reasons are in tracker/missing_list", "tracker")
MISSING_LIST = _tag("tracker/missing_list", "table", "", "what was promised and did not arrive: family, since step, reason", "tracker", "something is missing")
DROPPED = _tag("tracker/dropped_events", "scalar", "count", "events dropped so far because this backend's queue was full (media first, scalars never)", "tracker")
QUEUE = _tag("tracker/queue_mb", "scalar", "MB", "largest backlog of this backend since the last flush", "tracker")
OVER_TIME = _tag("over_time/{family}", "image", "", "a family of scalars as one picture: codebook, layer or component × logged step", "tracker", "TensorBoard without --detail full")
LAST_WORD_TABLE = _tag("summary/base_best_last", "table", "", "at the end of training: the base model (step 0) against the best and the last checkpoint, in the five numbers that matter and the similarity of each group of voices", "tracker", "voices or an evaluation")
LAST_WORD = _tag("summary/last_word", "text", "", "the same in words: which checkpoint to use and why, findings still open, what is missing; also summary.md and summary.json in the run's directory", "tracker", "voices or an evaluation")
ALERT = _tag("alerts/{title}", "text", "", "something to read now: what was seen, what it means, what to do", "tracker", "there is an alert")
COST = _tag("tracker/{part}_ms", "scalar", "ms", "time on the training thread at this step, by part", "tracker")

ALL: tuple[Tag, ...] = tuple(_ALL)


@dataclass(frozen=True)
class Score:
    """A score of one voice: a key of `VoiceComparison.scores`, a column of the voice table and a `voices/{score}/mean`.

    `better` is "higher", "lower", "zero", "one" or "" where a value is neither good nor bad. `of_real_clips`: it does
    not depend on what was generated, so that invalid clips are not left out of its mean. `mean`: it is logged
    as `voices/{score}/mean`; a score without it has a number over the set.
    """

    name: str
    unit: str
    better: Better
    meaning: str
    of_real_clips: bool = False
    mean: bool = True


SCORES: tuple[Score, ...] = (
    Score("sim_o", "cosine", "higher", "speaker similarity, generated vs the prompt as recorded"),
    Score("sim_r", "cosine", "higher", "speaker similarity, generated vs the prompt through the codec"),
    Score("sim_ceiling", "cosine", "", "speaker similarity, the real target recording vs the prompt", of_real_clips=True),
    Score("sim_codec", "cosine", "", "speaker similarity, the target through the codec vs the prompt", of_real_clips=True),
    Score("sim_margin", "cosine", "higher", "sim_o − mean similarity to the prompts of other speakers"),
    Score("sim_seed_tts", "cosine", "higher", "sim_o by the encoder of Seed-TTS-eval (--voice_encoder seed-tts=PATH)"),
    Score("emotion_sim", "cosine", "higher", "similarity of the emotion, generated vs the prompt, by a model file (--voice_similarity emotion=FILE)"),
    Score("emotion_sim_ceiling", "cosine", "", "the same of the real target recording", of_real_clips=True),
    Score("emotion_sim_codec", "cosine", "", "the same of the target through the codec", of_real_clips=True),
    Score("spk_top1", "share", "higher", "1 if the nearest prompt is of the own speaker", mean=False),
    Score("sim_drift", "cosine", "zero", "similarity to the prompt, last third − first third of the generated clip; for clips of 4.5 s and more"),
    Score("off_speaker", "share", "lower", "1.6 s windows of the generated clip whose nearest prompt is of another speaker, for clips of 4.5 s and more: above 0 where the speaker changes within a clip"),
    Score("cond_gain", "cosine", "higher", "sim_o − similarity to this prompt when the same text is generated with another speaker's prompt"),
    Score("wer", "share", "lower", "word errors of the transcript against the target text", mean=False),
    Score("wer_real", "share", "", "the same of the real target recording: the floor", of_real_clips=True, mean=False),
    Score("cer", "share", "lower", "character errors of the transcript against the target text", mean=False),
    Score("cer_real", "share", "", "the same of the real target recording: the floor", of_real_clips=True, mean=False),
    Score("wer_seed_tts", "share", "lower", "word errors, in Chinese character errors, as Seed-TTS-eval counts them: its normaliser, mean over clips"),
    Score("ref_leak", "share", "lower", "words of the reference text, not in the target text, that the transcript of the clip has"),
    Score("dnsmos_ovrl", "MOS", "higher", "DNSMOS P.835 overall quality"),
    Score("dnsmos_ovrl_delta", "MOS", "zero", "the same − the prompt's"),
    Score("dnsmos_sig", "MOS", "higher", "DNSMOS P.835 quality of the speech"),
    Score("dnsmos_sig_delta", "MOS", "zero", "the same − the prompt's"),
    Score("dnsmos_bak", "MOS", "higher", "DNSMOS P.835 quality of the background"),
    Score("dnsmos_bak_delta", "MOS", "zero", "the same − the prompt's"),
    Score("dnsmos_p808", "MOS", "higher", "DNSMOS P.808 overall quality"),
    Score("dnsmos_p808_delta", "MOS", "zero", "the same − the prompt's"),
    Score("distillmos", "MOS", "higher", "DistillMOS overall quality"),
    Score("distillmos_delta", "MOS", "zero", "the same − the prompt's"),
    Score("utmos", "MOS", "higher", "UTMOS naturalness, by a model file (--voice_quality utmos=FILE)"),
    Score("utmos_delta", "MOS", "zero", "the same − the prompt's"),
    Score("f0_median_shift_cents", "cents", "zero", "median F0, generated − prompt"),
    Score("f0_std_ratio", "", "one", "spread of F0, generated / prompt"),
    Score("mcd_db", "dB", "lower", "mel-cepstral distortion against the target recording"),
    Score("f0_rmse_cents", "cents", "lower", "F0 error against the target recording, where both are voiced"),
    Score("logf0_corr", "", "higher", "correlation of F0 in cents with the target recording's"),
    Score("vuv_err", "share", "lower", "frames voiced in one of generated and target only"),
    Score("dur_ratio", "", "one", "length of the generated clip / of the target recording"),
    Score("rate_ratio", "", "one", "text per second of speech, generated / prompt"),
    Score("speech_s", "s", "", "seconds of speech in the generated clip"),
    Score("silence_pct", "%", "", "share of the generated clip without sound"),
    Score("first_frame_s", "s", "", "time to the first frame: from the start of generation until all its codes (or latents) are there, decoding not included; clips of one batch are generated together (--voice_batch_size)"),
    Score("repetition", "share", "lower", "eight-frame stretches of codes of the generated clip that were in it before, silence left out"),
    Score("level_dbfs", "dB", "", "RMS of the frames with sound"),
    Score("level_delta_db", "dB", "zero", "the same − the prompt's"),
    Score("lufs", "LUFS", "", "integrated loudness"),
    Score("lufs_delta", "LU", "zero", "the same − the prompt's"),
    Score("peak_dbfs", "dB", "", "highest sample"),
    Score("dc_offset", "", "zero", "mean of the samples, of full scale; removed before the speaker encoder"),
    Score("clip_pct", "%", "lower", "samples at full scale"),
)


SIMILARITY = "_sim"
"""Ending of the scores of a user's own similarity models: `emotion_sim`, with the real clip and the codec copy as
`emotion_sim_ceiling` and `emotion_sim_codec`."""
_OF_REAL_CLIPS = frozenset(score.name for score in SCORES if score.of_real_clips)


def of_real_clips(score: str) -> bool:
    """Whether a score does not depend on what was generated."""
    return score in _OF_REAL_CLIPS or score.endswith((f"{SIMILARITY}_ceiling", f"{SIMILARITY}_codec"))


def safe_part(text: str, filler: str) -> str:
    """`text` as one part of a tag or one file name: `filler` for each run of other characters than letters, digits and
    combining marks of any script, `-` and `_`.

    >>> safe_part("a/b: 小明", "_")
    'a_b_小明'
    """
    return "".join(
        "".join(run) if is_safe else filler
        for is_safe, run in groupby(text, key=lambda c: c.isalnum() or c in "-_" or category(c).startswith("M"))
    )


def find(name: str) -> Tag | None:
    """The tag that `name` belongs to, the most literal one where several fit, or None."""
    fitting = [tag for tag in ALL if tag.pattern.match(name)]
    if not fitting and (of_set := re.match(r"(eval_outputs)/[^/]+(/.+)", name)):
        return find("".join(of_set.groups()))
    return min(fitting, key=lambda tag: tag.template.count("{"), default=None)


def of_evaluation(name: str, evaluation: str) -> str:
    """A name of `eval_outputs/` for an evaluation set that has a name of its own.

    >>> of_evaluation("eval_outputs/nll/mean", "eval"), of_evaluation("eval_outputs/nll/mean", "unseen")
    ('eval_outputs/nll/mean', 'eval_outputs/unseen/nll/mean')
    """
    return name if evaluation == "eval" else name.replace("/", f"/{evaluation}/", 1)


_BETTER: dict[str, Better] = {
    "train/loss": "lower",
    "eval/loss": "lower",
    **dict.fromkeys((NLL_MEAN(), NLL_TEXT(), EVAL_NLL_MEAN(), EVAL_NLL_TEXT()), "lower"),
    **dict.fromkeys((ACCURACY_MEAN(), ACCURACY_TEXT(), EVAL_ACCURACY_MEAN(), EVAL_ACCURACY_TEXT()), "higher"),
    **dict.fromkeys((CONDITIONING_GAP_MEAN(), CONDITIONING_WIN_RATE()), "higher"),
    SPK_EER(): "lower",
    MARGIN_RETAINED(): "higher",
    **{VOICE_SCORE(score=score.name) if score.mean else f"voices/{score.name}": score.better for score in SCORES},
}


def direction(name: str) -> Better:
    """Which values of a scalar are better: "higher", "lower", near "zero", near "one", or "" for neither.

    Only the numbers by which a run is judged have a direction: means, not one codebook, layer or language.

    >>> direction("voices/wer"), direction("outputs/nll/mean"), direction("inputs/padding_pct")
    ('lower', 'lower', '')
    """
    own_similarity = name.startswith("voices/") and name.endswith(f"{SIMILARITY}/mean")
    return _BETTER.get(name, "higher" if own_similarity else "")
