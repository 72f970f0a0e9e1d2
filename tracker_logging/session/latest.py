"""What a training has last heard of its voices and of the doctor, in a few words, for the console.

latest = Latest()
latest.hear(event)         # every event, on any thread
latest.voices              # "voices 315: right speaker 11/12"
latest.finding             # "Learning rate zero": the last one that is still open
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.events import Event, Findings, Scalars, VoiceComparison
from tracker_logging.voices.evaluation import in_words


class Latest:
    """Serves one training. Both texts are empty until there is something to say."""

    def __init__(self) -> None:
        self.voices = ""
        self.finding = ""
        self._step = -1

    def hear(self, event: Event) -> None:
        """Keep the words of an event. Scores of an earlier round than the last one that was generated are left out."""
        match event:
            case Scalars() if tags.VALID_CLIPS() in event.values and event.step >= self._step:
                self._step = event.step
                self.voices = f"voices {event.step}: {in_words(event.values)[0].replace(' of ', '/')}"
            case VoiceComparison(stage="generated") if event.step > self._step:
                self._step = event.step
                self.voices = f"voices {event.step}: not scored yet"
            case Findings():
                still_open = [finding.title for finding in event.findings if finding.is_open]
                self.finding = still_open[-1] if still_open else ""
