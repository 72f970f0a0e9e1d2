"""Which voices pretraining hears: Kokoro's natural voices and blends of two of them, and which it never hears.

Guarantees
- No voice of `UNSEEN` or `NEW_SPEAKERS`, and no blend with one of them, is among `TRAINED`.
"""

from __future__ import annotations

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
FLITE = ("slt", "rms", "awb", "kal16")
BLENDS = 360  # of the 780 pairs of natural voices


@dataclass(frozen=True, slots=True)
class Speaker:
    """A natural voice, or the mean of two."""

    name: str
    parts: tuple[str, ...]


def _natural(names: tuple[str, ...]) -> tuple[Speaker, ...]:
    return tuple(Speaker(name, (name,)) for name in names)


def _blends() -> tuple[Speaker, ...]:
    choice = random.Random(0)
    pairs = [(one, two) for index, one in enumerate(_NATURAL) for two in _NATURAL[index + 1 :]]
    return tuple(Speaker(f"{one}+{two}", (one, two)) for one, two in choice.sample(pairs, BLENDS))


NATURAL, BLENDED = _natural(_NATURAL), _blends()
TRAINED = (*NATURAL, *BLENDED)
HELD_OUT = _natural(UNSEEN)
FINE_TUNED = _natural(NEW_SPEAKERS)
