"""Where time goes that training could use.

rule.evidence(history)      # "45 % of the time is spent waiting for batches (throughput/data_wait_pct)"
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.history import History
from tracker_logging.doctor.rule import Rule

LONGEST_WAIT_PCT = 30.0


def _starved(history: History) -> str | None:
    waited = history[tags.DATA_WAIT()].last
    if not waited > LONGEST_WAIT_PCT:
        return None
    return f"{waited:.0f} % of the time is spent waiting for batches ({tags.DATA_WAIT()})"


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
        looks_at=(tags.DATA_WAIT,),
        opens_when="training waits for batches for more than 30 % of the time, three times in a row",
        evidence=_starved,
        cause="batches are made more slowly than they are used: clips are decoded or encoded in the training process, "
        "or read from a slow disk.",
        cure="set dataloader_num_workers to 2 or more, and keep the codes of clips in a cache (--code_cache).",
        opens_after=3,
    ),
    Rule(
        name="logging_over_budget",
        level="info",
        certainty="certain",
        looks_at=(tags.OVERHEAD,),
        also_reads=(tags.BUDGET,),
        opens_when="logging takes more than its budget, five times in a row",
        evidence=_over_budget,
        cause="logged steps are close together or the voices are many; looking is thinned step by step until the "
        "budget is kept.",
        cure="nothing has to be done. To have more, raise --logging_budget_pct; to have it cheaper, raise "
        "--strategic_logging_steps or --voice_steps.",
        opens_after=5,
    ),
)
