"""Recognises keys, tokens and passwords: by the name of a setting, and by their shape in a text.

>>> is_secret_name("hub_token"), is_secret_name("max_new_tokens"), is_secret_name("eos_token")
(True, False, False)
>>> without_secrets("GET https://joe:pw@host/a?sig=Zm9v&n=1 with Bearer abcdefgh12345678")
'GET https://‹secret›@host/a?sig=‹secret›&n=1 with Bearer ‹secret›'
"""

from __future__ import annotations

import re

SECRET = "‹secret›"

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
# Whole words of a name, joined by "_".
_NAME = re.compile(
    r"(?:^|_)(?:api_?key|(?:access|private|secret|account|auth|encryption|license|ssh|signing|wandb)_key|apikey|secrets?"
    r"|passwords?|passwd|passphrase|pwd|authorization|bearer|credentials?|cookies?|webhook|webhook_url|sas|token)(?:_|$)"
)
# Tokens of a vocabulary, not of an account: `eos_token`, `token_id`, `audio_token_index`, `num_tokens`.
_VOCABULARY = re.compile(
    r"(?:^|_)(?:bos|eos|pad|unk|sep|cls|mask|audio|image|video|text|speech|speaker|start|stop|end|blank|special|delay"
    r"|stream|decoder|prefix|suffix|stop|first|last|next|max|min|num|per)_(?:\w+_)?token(?:_|$)|(?:^|_)token_(?:id|ids|index"
    r"|type|level|count|ratio|rate|weight|loss|dropout|embedding|size|dim|classification)(?:_|$)"
)
_ENVIRONMENT = re.compile(
    r"(?:^|_)(?:(?:API)?KEY|TOKEN|SECRET|PASSWO?R?D|PASS|CREDENTIALS?|COOKIE)(?:_|$)", re.IGNORECASE
)
_SHAPE = re.compile(
    r"\b(?:hf_\w{20,}|sk-[\w-]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{35}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,})"
)
_SCHEME = re.compile(
    r"\b(bearer\s+)(?=\S*\d)[\w.~+/=-]{16,}|\b(authorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token)\s+)?)[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(?<=://)[^\s/@?#'\"]+(?=@)")
_QUERY = re.compile(
    r"(?<=[?&])([\w.-]*(?:signature|sig|token|key|keyid|secret|password|passwd|pwd|auth|credential|policy|accessid))="
    r"[^\s&#'\"<>]+",
    re.IGNORECASE,
)
_WEBHOOK = re.compile(
    r"(?<=://)(hooks\.slack\.com/(?:services|workflows|triggers)/|(?:\w+\.)?discord(?:app)?\.com/api/webhooks/"
    r"|[\w-]+\.webhook\.office\.com/)[^\s'\"<>]+"
)
_ASSIGNMENT = re.compile(r"(?<![\w-])([\w-]+)(['\"]?\s*[=:]\s*['\"]?)([^\s'\"&,;{}\[\]]+)")
_FLAG = re.compile(r"(?<![\w-])(--[\w-]+)(\s+)([^\s'\"-][^\s'\"]*)")


def is_secret_name(name: str) -> bool:
    """Whether a setting of that name (`api_key`, `hub-token`, `clientSecret`, `--password`) holds a secret."""
    words = "_".join(word.lower() for word in _WORDS.findall(name))
    return bool(_NAME.search(words)) and not _VOCABULARY.search(words)


def is_secret_variable(name: str) -> bool:
    """Whether an environment variable of that name holds a secret."""
    return bool(_ENVIRONMENT.search(name))


def without_secrets(text: str) -> str:
    """`text` without user names and passwords in addresses, signed query strings, webhooks, and keys by their shape."""
    text = _SHAPE.sub(SECRET, text)
    text = _WEBHOOK.sub(rf"\1{SECRET}", text)
    text = _QUERY.sub(rf"\1={SECRET}", _USER_INFO.sub(SECRET, text))
    return _SCHEME.sub(lambda match: (match[1] or match[2]) + SECRET, text)


def without_assigned_secrets(text: str) -> str:
    """`text` of a setting without values that are given to a secret name: `--hub_token …`, `password: …`, `key=…`."""

    def replace(match: re.Match[str]) -> str:
        name, sign, _ = match.groups()
        return f"{name}{sign}{SECRET}" if is_secret_name(name) else match[0]

    return _FLAG.sub(replace, _ASSIGNMENT.sub(replace, text))
