"""The names under which TensorBoard shows tags, and which scalars get a card of their own.

TensorBoard sorts groups by name and opens the first ones. A digit before the tag puts what to read first on the first
screen: `1_voices/sim_o/mean`, `2_conditioning/gap/mean`, … A run of a 28-layer model has some 700 scalars. With the
detail "standard" at most sixty of them are cards; the others are stored in the same file, where `tracker_logging.runs`
and the commands read them, and are drawn as pictures (`over_time.py`). With "full" each scalar is a card.

>>> shown_name("outputs/nll/mean"), logged_name("5_outputs/nll/mean"), logged_name("outputs/nll/mean")
('5_outputs/nll/mean', 'outputs/nll/mean', 'outputs/nll/mean')
>>> has_card("outputs/nll/mean"), has_card("outputs/nll/codebook_3"), has_card("outputs/nll/codebook_3", "full")
(True, False, True)
"""

from __future__ import annotations

import re
from functools import lru_cache

from tracker_logging import tags
from tracker_logging.config import Detail
from tracker_logging.sections import is_detail

BEST_PREFIX = "summary/best/"
INTERVAL_PREFIX = "summary/interval/"
"""Before the tag of a scalar: its values at the steps that have an interval. Custom Scalars refuses to draw an interval
around a scalar that has more steps than its bounds."""
DETAIL_PLUGIN = "tracker_logging"
"""The plugin name of scalars without a card: no tab of TensorBoard shows it."""

_PLACES = {
    "voices": 4,
    "conditioning": 2,
    "doctor": 3,
    "alerts": 3,
    "outputs": 5,
    "eval_outputs": 5,
    "latents": 5,
    "over_time": 5,
    "attention": 6,
    "gradients": 7,
    "dualffn": 7,
    "inputs": 8,
    "chatml": 8,
    "throughput": 9,
    "memory": 9,
    "tracker": 9,
    "summary": 9,
}
_PLACE_OF_DETAILS = 9
_FIRST = frozenset(
    {
        *(tags.VOICE_SCORE(score=score) for score in ("sim_o", "sim_margin")),
        *(tag() for tag in (tags.SPK_TOP1, tags.WER, tags.VOICE_TABLE, tags.SPEAKER_TABLE)),
    }
)
_SHOWN = re.compile(rf"[1-9]_((?:{'|'.join(_PLACES)})/.+)", re.DOTALL)

CARD_SCORES = (
    "sim_o",
    "sim_ceiling",
    "sim_codec",
    "sim_margin",
    "ref_leak",
    "dnsmos_ovrl",
    "f0_median_shift_cents",
    "dur_ratio",
)
"""Scores whose mean is a card; those of a user's own scorer are cards too."""
GROUP_CARD = "sim_margin"
"""The score of each group of voices that is a card."""
MARGIN_SCORES = ("voices/sim_o/mean", "conditioning/gap/mean")
"""Scalars that Custom Scalars draws with their interval. TensorBoard draws only what has a card, so that their bounds
have one, in the last group."""
CARDS = frozenset(
    {
        *(tags.VOICE_SCORE(score=score) for score in CARD_SCORES),
        *(name.replace("/mean", bound) for name in MARGIN_SCORES for bound in ("/low", "/high")),
        *(tag() for tag in (tags.SPK_TOP1, tags.SPK_TOP1_CHANCE, tags.WER, tags.WER_REAL, tags.CER)),
        *(tag() for tag in (tags.VALID_CLIPS, tags.FAILED_VOICES, tags.STOPPED)),
        *(tag() for tag in (tags.CONDITIONING_GAP_MEAN, tags.CONDITIONING_GAP_NULL, tags.CONDITIONING_WIN_RATE)),
        tags.TEXT_GAP_MEAN(),
        *(tags.OPEN_FINDINGS(level=level) for level in ("error", "warning")),
        *(tag() for tag in (tags.NLL_MEAN, tags.NLL_TEXT, tags.ACCURACY_MEAN, tags.ACCURACY_TEXT)),
        *(tag() for tag in (tags.FLOW_LOSS, tags.EOS_ACCURACY)),
        *(tag() for tag in (tags.EVAL_NLL_MEAN, tags.EVAL_NLL_TEXT, tags.EVAL_ACCURACY_MEAN)),
        *(tags.MASS_MEAN(query="target", key=key) for key in ("reference", "text")),
        *(tag() for tag in (tags.GRADIENT_COSINE, tags.ROUNDED_TO_ZERO)),
        *(tag() for tag in (tags.VIOLATIONS, tags.LOSS_RATIO)),
        *(tag() for tag in (tags.AUDIO_PER_S, tags.DATA_WAIT, tags.PEAK_MEMORY)),
        *(tag() for tag in (tags.OVERHEAD, tags.ERRORS, tags.MISSING)),
        *(f"{BEST_PREFIX}{name}" for name in ("voices/sim_o/mean", "voices/wer", "conditioning/gap/mean")),
        f"{BEST_PREFIX}{tags.EVAL_NLL_MEAN()}",
    }
)


@lru_cache(maxsize=8192)
def shown_name(tag: str) -> str:
    """The name of a tag in TensorBoard; that of a tag that is not ours is unchanged."""
    known = tags.find(tag) or tags.find(tag.rpartition("/")[0])  # a clip is shown below the tag of its event
    place = _PLACES.get(tag.partition("/")[0])
    if place is None or (known is None and not tag.startswith((BEST_PREFIX, INTERVAL_PREFIX))):
        return tag
    if tag in _FIRST:
        place = 1
    elif known is not None and known.kind == "scalar" and is_detail(tag):
        place = _PLACE_OF_DETAILS
    return f"{place}_{tag}"


def logged_name(name: str) -> str:
    """The tag that is shown as `name`, also where an earlier version wrote it without a digit."""
    match = _SHOWN.fullmatch(name)
    return match[1] if match else name


@lru_cache(maxsize=8192)
def has_card(tag: str, detail: Detail = "standard") -> bool:
    """Whether a scalar is a card. Numbers of the loop and of a user's own observers and scorers always are."""
    if detail == "full" or tag in CARDS or tag.startswith(INTERVAL_PREFIX):
        return True
    if tag.startswith(BEST_PREFIX):
        return False
    known = tags.find(tag)
    if known is tags.GROUP_SCORE:
        return tag.endswith(f"/{GROUP_CARD}")
    if known is tags.VOICE_SCORE:
        return tag not in {tags.VOICE_SCORE(score=score.name) for score in tags.SCORES}
    return known is None
