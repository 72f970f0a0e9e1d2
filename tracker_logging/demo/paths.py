"""Where the parts of a demo lie. Both demos have the same: `pretrained_demo.py` and `composed/build.py`.

paths.model, paths.codec, paths.train, paths.eval, paths.codes
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DemoPaths:
    """`code_cache`: where the codes of clips are kept; None: in `directory`."""

    directory: Path
    code_cache: Path | None = None

    @property
    def model(self) -> Path:
        """Weights, configuration and tokenizer, for `from_pretrained`."""
        return self.directory / "model"

    @property
    def codec(self) -> Path:
        return self.directory / "codec"

    @property
    def train(self) -> Path:
        return self.directory / "train.json"

    @property
    def eval(self) -> Path:
        return self.directory / "eval.json"

    @property
    def prompts(self) -> Path | None:
        """The prompts of the voices, where they are not the evaluation samples."""
        path = self.directory / "prompts.json"
        return path if path.is_file() else None

    @property
    def codes(self) -> Path:
        """The directory of the `CodeCache`."""
        return self.code_cache or self.directory / "codes"
