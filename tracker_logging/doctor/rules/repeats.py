"""Do the samples of a batch differ?

>>> from tracker_logging.doctor.history import History
>>> history = History()
>>> _ = history.add(1, {"chatml/same_target_pct": 100.0})
>>> RULES[0].evidence(history)
'100 % of the samples of the batch have the target of another one (chatml/same_target_pct)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.rule import Cause, Rule, above

MOST = 50.0


RULES = (
    Rule(
        name="samples_repeated",
        level="warning",
        certainty="likely",
        triggers=(tags.SAME_TARGET,),
        opens_when="more than half of the samples of a batch have the target of another one, three times in a row",
        evidence=above(
            MOST, tags.SAME_TARGET, "{value:.3g} % of the samples of the batch have the target of another one"
        ),
        causes=(
            Cause(
                "The dataset or the sampler returns one sample many times: an index that is ignored, or a cache that "
                "is keyed too coarsely.",
                check="`dataset[0]` and `dataset[1]` are equal",
            ),
            Cause("The data file lists each sample many times.", check="`tracker-logging check-data` finds duplicate"),
            Cause("Samples are repeated on purpose.", check="you set it"),
        ),
        fix="compare inputs/samples of two logged steps; index the dataset by the index that it is given.",
        opens_after=3,
    ),
    Rule(
        name="texts_of_batch_equal",
        level="warning",
        certainty="likely",
        triggers=(tags.SAME_TEXT,),
        opens_when="more than half of the samples of a batch have the text of another one but another target, three "
        "times in a row",
        evidence=above(
            MOST,
            tags.SAME_TEXT,
            "{value:.3g} % of the samples of the batch have the text of another one, with another target",
        ),
        causes=(
            Cause(
                "The texts are lost on the way into the batch: a constant, an unknown token for all words, or the text "
                "of one sample for all.",
                check="inputs/samples does not show the texts of the data file",
            ),
            Cause("The data has one text for many clips.", check="`tracker-logging check-data` finds texts_repeated"),
            Cause("All speakers read the same sentences.", check="they do, by the description of the corpus"),
        ),
        fix="compare inputs/samples with the data file. Without the right text the model cannot learn to read.",
        opens_after=3,
    ),
)
