"""What is written once per TensorBoard run: its settings (HParams tab) and the layout of the Custom Scalars tab.

The layout is that of `sections.py`, made from the table of tags: a family of scalars is one chart with a line for each
member (`outputs/nll/codebook_{codebook}`), a score is shown beside its ceiling. No chart is listed by hand.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import summary_v2 as hparams_summary

from tracker_logging.sections import charts


def settings_summary(config: Mapping[str, object], *, name: str) -> Any:
    """The summary of a run's settings for the HParams tab; nested names are joined by "."."""
    return hparams_summary.hparams_pb(_flat(config), trial_id=name, start_time_secs=time.time())


def layout_summary() -> Any:
    """The summary that lays out the Custom Scalars tab: the charts of `sections.py` that have several lines."""
    several: dict[str, list[Any]] = defaultdict(list)
    for chart in charts():
        if chart.is_family or len(chart.lines) > 1:
            patterns = chart.lines if chart.is_family else [f"^{re.escape(name)}$" for name in chart.lines]
            lines = layout_pb2.MultilineChartContent(tag=patterns)
            unit = f" ({chart.unit})" if chart.unit else ""
            several[chart.section].append(layout_pb2.Chart(title=f"{chart.title}{unit}", multiline=lines))
    categories = [layout_pb2.Category(title=section, chart=members) for section, members in several.items()]
    layout = layout_pb2.Layout(category=categories)
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        string_val=[layout.SerializeToString()],
    )
    metadata = layout_metadata.create_summary_metadata()
    value = summary_pb2.Summary.Value(tag=layout_metadata.CONFIG_SUMMARY_TAG, metadata=metadata, tensor=tensor)
    return summary_pb2.Summary(value=[value])


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
