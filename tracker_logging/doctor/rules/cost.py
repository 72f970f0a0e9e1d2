"""Time that training could use: waiting for batches, and our own overhead.

>>> history = History()
>>> _ = history.add(100, {"throughput/data_wait_pct": 45.0})
>>> RULES[0].evidence(history)
'training waits for batches 45 % of the time (throughput/data_wait_pct)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import History
from tracker_logging.doctor.rule import Cause, Rule, above

MAX_WAIT_PCT = 30.0


def _over_budget(history: History) -> str | None:
    spent, budget = history[tags.OVERHEAD()].last, history[tags.BUDGET()].last
    if not spent > budget:
        return None
    return f"logging takes {spent:.2g} % of the time, its budget is {budget:g} % ({tags.OVERHEAD()})"


RULES = (
    Rule(
        name="waits_for_data",
        level="warning",
        certainty="likely",
        triggers=(tags.DATA_WAIT,),
        opens_when="training waits for batches more than 30 % of the time, three times in a row",
        evidence=above(MAX_WAIT_PCT, tags.DATA_WAIT, "training waits for batches {value:.0f} % of the time"),
        causes=(
            Cause(
                "Clips are decoded or encoded in the training process.",
                check="dataloader_num_workers is 0, or the first epoch is much slower than the second",
            ),
            Cause("The disk or network that holds the clips is slow.", check="the wait stays with more workers"),
        ),
        fix="set dataloader_num_workers to 2 or more and keep the codes of clips in a cache (--code_cache).",
        opens_after=3,
    ),
    Rule(
        name="logging_over_budget",
        level="info",
        certainty="certain",
        triggers=(tags.OVERHEAD,),
        also_reads=(tags.BUDGET,),
        opens_when="logging takes more than its budget, five times in a row",
        evidence=_over_budget,
        causes=(
            Cause(
                "Logged steps are close together, or there are many voices. Logging is thinned until it keeps its "
                "budget."
            ),
        ),
        fix="nothing has to be done. For more detail raise --logging_budget_pct; for less cost raise "
        "--strategic_logging_steps or --voice_steps.",
        opens_after=5,
    ),
)
