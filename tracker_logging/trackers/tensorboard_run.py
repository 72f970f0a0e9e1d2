"""What describes a whole TensorBoard run: its settings (HParams tab) and the layout of the Custom Scalars tab.

The layout is that of `sections.py`, made from the table of tags: a family of scalars is one chart with a line for each
member (`outputs/nll/codebook_{codebook}`), a score is shown beside its ceiling, and with its interval. No chart is
listed by hand.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import summary_v2 as hparams_summary

from tracker_logging.sections import Chart, bounds_of, charts
from tracker_logging.trackers.tensorboard_names import INTERVAL_PREFIX, shown_name


def settings_summary(config: Mapping[str, object], *, name: str) -> Any:
    """The summary of a run's settings for the HParams tab; nested names are joined by "."."""
    return hparams_summary.hparams_pb(_flat(config), trial_id=name, start_time_secs=time.time())


def layout_of(cards: Collection[str]) -> Any:
    """The layout of the Custom Scalars tab for a run that has these scalars as cards: charts that have something to
    compare, several lines or an interval."""
    of_section: dict[str, list[Any]] = defaultdict(list)
    for chart in charts():
        several = (_margins(chart, cards), _lines(chart, cards))
        of_section[chart.section] += [shown for shown in several if shown is not None]
    categories = [layout_pb2.Category(title=section, chart=shown) for section, shown in of_section.items() if shown]
    return layout_pb2.Layout(category=categories)


def layout_summary(layout: Any) -> Any:
    """The summary that lays out the Custom Scalars tab."""
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        string_val=[layout.SerializeToString()],
    )
    metadata = layout_metadata.create_summary_metadata()
    value = summary_pb2.Summary.Value(tag=layout_metadata.CONFIG_SUMMARY_TAG, metadata=metadata, tensor=tensor)
    return summary_pb2.Summary(value=[value])


def _lines(chart: Chart, cards: Collection[str]) -> Any:
    """A line for each card of the chart; None with fewer than two."""
    if chart.is_family:
        family = re.compile(chart.lines[0])
        if sum(family.match(tag) is not None for tag in cards) < 2:
            return None
        patterns = [rf"^\d_{chart.lines[0].removeprefix('^')}"]
    else:
        lines = [tag for tag in chart.lines if tag in cards]
        if len(lines) < 2:
            return None
        patterns = [f"^{re.escape(shown_name(tag))}$" for tag in lines]
    return layout_pb2.Chart(title=chart.heading, multiline=layout_pb2.MultilineChartContent(tag=patterns))


def _margins(chart: Chart, cards: Collection[str]) -> Any:
    """The first line of the chart with its interval; None without one."""
    if chart.is_family:
        return None
    names = (INTERVAL_PREFIX + chart.title, *bounds_of(chart.title))
    if not all(name in cards for name in names):
        return None
    value, low, high = (shown_name(name) for name in names)
    margin = layout_pb2.MarginChartContent.Series(value=value, lower=low, upper=high)
    return layout_pb2.Chart(
        title=f"{chart.heading}, with its 95 % interval", margin=layout_pb2.MarginChartContent(series=[margin])
    )


def _flat(config: Mapping[str, object], prefix: str = "") -> dict[str, bool | int | float | str]:
    flat: dict[str, bool | int | float | str] = {}
    for key, value in config.items():
        match value:
            case Mapping():
                flat |= _flat(value, f"{prefix}{key}.")
            case bool() | int() | float() | str():
                flat[f"{prefix}{key}"] = value
            case None:
                flat[f"{prefix}{key}"] = "none"
            case _:
                flat[f"{prefix}{key}"] = str(value)
    return flat
