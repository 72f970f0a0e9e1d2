"""The voices of the pretraining data: Kokoro's natural voices, blends of two and mixtures of all of them; and the
voices that are kept out of it.

The mean of two voices is nearer to the average voice than either. Mixtures are drawn from the normal distribution that
the natural voices have, a little wider: they differ from each other as natural voices do. New voices are also moved in
all dimensions of a style, which forty voices do not span. They are as clear as natural ones, and a voice that was kept
is as far from all of them as they are from each other.

Guarantees
- No voice of `UNSEEN` or `NEW_SPEAKERS`, and no blend with one of them, is among `TRAINED`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

UNSEEN = ("af_nova", "am_fenrir", "bf_emma", "bm_lewis", "ff_siwis", "hm_psi", "im_nicola", "zf_xiaoni")
NEW_SPEAKERS = ("af_bella", "am_michael", "bm_george", "jf_alpha", "ef_dora", "zm_yunjian")
_NATURAL = (
    *("af_alloy", "af_aoede", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_river", "af_sarah", "af_sky"),
    *("am_adam", "am_echo", "am_eric", "am_liam", "am_onyx", "am_puck", "am_santa"),
    *("bf_alice", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "em_alex", "em_santa"),
    *("hf_alpha", "hf_beta", "hm_omega", "if_sara", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo"),
    *("pf_dora", "pm_alex", "pm_santa", "zf_xiaobei", "zf_xiaoxiao", "zf_xiaoyi", "zm_yunxi", "zm_yunxia"),
    "zm_yunyang",
)
BLENDS = 264  # of the 780 pairs of natural voices
MIXTURES, NEW_VOICES = 900, 2_000
SINGLE_VOICES = 12_000  # new voices of one short clip, for the codec
SPREAD, SPREAD_OF_NEW = 1.2, 0.8  # of the natural voices' deviation from their mean
NOISE_OF_NEW = 1.2  # of each dimension's standard deviation over the natural voices
SPREADS_OF_SINGLES, NOISE_OF_SINGLES = (0.3, 1.2), (0.5, 1.2)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A natural voice, or a weighted mean of several: `weights` add up to 1, and may be negative. `noise`: by how many
    of its parts' standard deviations each dimension is moved."""

    name: str
    parts: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)
    noise: float = 0.0


def _natural(names: tuple[str, ...]) -> tuple[Speaker, ...]:
    return tuple(Speaker(name, (name,)) for name in names)


def _blends() -> tuple[Speaker, ...]:
    choice = random.Random(0)
    pairs = [(one, two) for index, one in enumerate(_NATURAL) for two in _NATURAL[index + 1 :]]
    return tuple(Speaker(f"{one}+{two}", (one, two), (0.5, 0.5)) for one, two in choice.sample(pairs, BLENDS))


def _mixtures() -> tuple[Speaker, ...]:
    choice, number = random.Random(1), len(_NATURAL)
    mixtures = []
    for index in range(MIXTURES + NEW_VOICES):
        is_new = index >= MIXTURES
        spread = (SPREAD_OF_NEW if is_new else SPREAD) / math.sqrt(number)
        weights = _weights([choice.gauss(0, spread) for _ in _NATURAL])
        name = f"voice-{index - MIXTURES:03d}" if is_new else f"mixture-{index:03d}"
        mixtures.append(Speaker(name, _NATURAL, weights, NOISE_OF_NEW if is_new else 0.0))
    return tuple(mixtures)


def _singles() -> tuple[Speaker, ...]:
    choice, number = random.Random(2), len(_NATURAL)
    singles = []
    for index in range(SINGLE_VOICES):
        weights = _weights([choice.gauss(0, choice.uniform(*SPREADS_OF_SINGLES) / math.sqrt(number)) for _ in _NATURAL])
        singles.append(Speaker(f"single-{index:05d}", _NATURAL, weights, choice.uniform(*NOISE_OF_SINGLES)))
    return tuple(singles)


def _weights(drawn: list[float]) -> tuple[float, ...]:
    """Equal ones, moved as drawn; they add up to 1."""
    number, mean = len(drawn), sum(drawn) / len(drawn)
    return tuple(1 / number + weight - mean for weight in drawn)


NATURAL, BLENDED, MIXED, SINGLE = _natural(_NATURAL), _blends(), _mixtures(), _singles()
TRAINED = (*NATURAL, *BLENDED, *MIXED)
KEPT = frozenset((*UNSEEN, *NEW_SPEAKERS))
HELD_OUT = _natural(UNSEEN)
FINE_TUNED = _natural(NEW_SPEAKERS)
