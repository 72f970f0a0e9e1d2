"""The W&B workspace and a report of two runs, as code.

    view = workspace(project="voice-cloning", entity="me", voice_ids=["ab12-slt"])
    as_json(view)               # what would be sent; raises ValueError where the package finds it invalid
    save(view)                  # creates or updates the view; returns its URL

Guarantees
- No server is contacted before `save`.
- Saving twice updates the same view: its name in W&B is always `VIEW`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker_logging.sections import SECTIONS, Chart, charts
from tracker_logging.tags import (
    ACCURACY_MAP,
    ALIGNMENT_HEADS,
    FFN_MAP,
    FINDINGS,
    GRADIENT_MAP,
    MASS_MAP,
    VOICE_TABLE,
    find,
)

VIEW = "trackerlogging"
TITLE = "Voice cloning"
STEP = "train/global_step"
ACCURACY_CHART = "codebook-accuracy"
CODEBOOKS = 8  # of Higgs Audio v2
MEDIA = {"Attention": (MASS_MAP, ALIGNMENT_HEADS), "Flow": (FFN_MAP, GRADIENT_MAP), "Tokens": (ACCURACY_MAP,)}
PAGES = {
    "Inputs": ("inputs/samples", "inputs/tensors", "inputs/segments", "chatml/violation_list"),
    "Tokens": ("outputs/predictions", "outputs/texts"),
}
OPEN = ("Voices", "Scores", "Conditioning")
PANELS_IN_A_ROW = {"Voices": 1}  # 3 in the other sections
# The list of runs is the leaderboard: these columns stand beside the names.
LEADERBOARD = (
    "voices/spk_top1",
    "voices/sim_margin/mean",
    "voices/sim_o/mean",
    "best/voices/sim_o/mean",
    "voices/wer",
    "conditioning/gap/mean",
)
WHAT_TO_READ = (
    "**Is the voice prompt used?** See *Conditioning*: a gap above zero means that the correct reference helps. "
    "**Is it the right voice?** See *Scores*: `sim_o` with its ceiling, and `sim_margin`, because a model that "
    "blends all voices has a high `sim_o` but no margin. **How does it sound?** See *Voices*: a column per run, "
    "a row per step."
)


def workspace(*, project: str, entity: str, voice_ids: Sequence[str], codebooks: int = CODEBOOKS) -> Any:
    """The view, not yet saved. `voice_ids`: the voices that get a panel each."""
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(
            name=name,
            panels=_panels(name, voice_ids, entity, codebooks),
            is_open=name in OPEN,
            layout_settings=ws.SectionLayoutSettings(columns=PANELS_IN_A_ROW.get(name, 3)),
        )
        for name in SECTIONS
    ]
    settings = ws.WorkspaceSettings(x_axis=STEP, group_by_prefix="first")
    runs = ws.RunsetSettings(pinned_columns=[f"summary:{tag}" for tag in LEADERBOARD])
    return ws.Workspace(
        project=project, entity=entity, name=TITLE, sections=sections, settings=settings, runset_settings=runs
    )


def report(*, project: str, entity: str, first: str, second: str, voice_ids: Sequence[str]) -> Any:
    """A report that compares two runs, given by their names in W&B; not yet saved."""
    import wandb_workspaces.reports.v2 as wr

    runs = wr.Runset(project=project, entity=entity, name="both", filters=f"DisplayName in ['{first}', '{second}']")
    blocks: list[Any] = [wr.H1(text=f"{second} against {first}"), wr.MarkdownBlock(text=WHAT_TO_READ)]
    for name in ("Voices", "Scores", "Conditioning", "Tokens"):
        panels = _panels(name, voice_ids, entity, CODEBOOKS)
        blocks += [wr.H2(text=name), wr.PanelGrid(runsets=[runs], panels=panels)]
    settings = wr.PanelGrid(runsets=[runs], panels=[wr.RunComparer(diff_only="split")])
    blocks += [wr.H2(text="Settings that differ"), settings]
    return wr.Report(project=project, entity=entity, title=f"{second} against {first}", blocks=blocks, width="fluid")


def as_json(thing: Any) -> dict[str, Any]:
    """What would be sent of a workspace or a report, checked by reading it back. Raises `ValueError`."""
    # wandb-workspaces 0.4.13 has no public way to serialize without an account.
    model = thing._to_model()
    again = type(model).model_validate_json(model.model_dump_json(by_alias=True, exclude_none=True))
    content: dict[str, Any] = again.model_dump(mode="json", by_alias=True, exclude_none=True)
    return content


def save(view: Any) -> str:
    """Create or update the view; returns its URL. Needs an account; raises what W&B raises."""
    import wandb
    from wandb_workspaces.workspaces import internal

    wandb.Api().create_custom_chart(
        entity=view.entity,
        name=ACCURACY_CHART,
        display_name="Accuracy by codebook and step",
        spec_type="vega2",
        access="private",
        spec=accuracy_chart(CODEBOOKS),
    )
    view._internal_name = internal._url_query_str_to_internal_name(VIEW)
    try:
        view._internal_id = internal.get_view_dict(view.entity, view.project, VIEW)["id"]
    except ValueError:
        view._internal_id = ""  # the view does not exist yet: W&B assigns an id
    view.save()
    return str(view.url)


def accuracy_chart(codebooks: int) -> dict[str, Any]:
    """A Vega-Lite heatmap codebook × step of `outputs/accuracy/codebook_*`, one row of charts per run."""
    keys = [f"outputs/accuracy/codebook_{codebook}" for codebook in range(codebooks)]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"name": "wandb"},
        "transform": [
            {"fold": keys, "as": ["key", "accuracy"]},
            {"calculate": "replace(datum.key, 'outputs/accuracy/codebook_', '')", "as": "codebook"},
            {"filter": "isValid(datum.accuracy)"},
        ],
        "mark": "rect",
        "encoding": {
            "row": {"field": "name", "title": "run"},
            "x": {"field": STEP, "type": "ordinal", "title": "step"},
            "y": {"field": "codebook", "type": "ordinal", "title": "codebook"},
            "color": {"field": "accuracy", "type": "quantitative", "scale": {"domain": [0, 1]}, "title": "accuracy"},
        },
    }


def _panels(section: str, voice_ids: Sequence[str], entity: str, codebooks: int) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    of_section = [chart for chart in charts() if chart.section == section]
    # A section shows six panels at a time: those that compare come first, such as a score beside its reachable value.
    panels = [_line_plot(chart) for chart in sorted(of_section, key=_is_later)]
    panels += [_media(tag.template, [tag.template]) for tag in MEDIA.get(section, ())]
    panels += [_page(key) for key in PAGES.get(section, ())]
    if section == "Voices":
        panels = [_page(VOICE_TABLE()), *(_voice(voice_id) for voice_id in voice_ids)]
        panels += [wr.MarkdownPanel(markdown=WHAT_TO_READ), wr.RunComparer(diff_only="split")]
    if section == "Tokens":
        keys = [STEP, *(f"outputs/accuracy/codebook_{codebook}" for codebook in range(codebooks))]
        chart = wr.CustomChart(query={"history": {"keys": keys}}, chart_name=f"{entity}/{ACCURACY_CHART}")
        panels.insert(0, chart)
    if section == "Doctor":
        panels.insert(0, _page(FINDINGS()))
    return panels


def _is_later(chart: Chart) -> tuple[bool, bool]:
    return len(chart.lines) == 1, chart.is_family


def _line_plot(chart: Chart) -> Any:
    import wandb_workspaces.reports.v2 as wr

    if chart.is_family:
        return wr.LinePlot(title=chart.heading, x=STEP, metric_regex=chart.lines[0])
    return wr.LinePlot(title=chart.heading, x=STEP, y=list(chart.lines))


def _page(key: str) -> Any:
    """A native table, of all runs that are shown, which sorts, filters and groups; or texts as they were logged."""
    import wandb_workspaces.reports.v2 as wr

    tag = find(key)
    return wr.WeavePanelSummaryTable(table_name=key) if tag and tag.kind == "table" else _media(key, [key])


def _voice(voice_id: str) -> Any:
    """Audio and mels of a voice: a column per run, a row per step."""
    return _media(f"voice {voice_id}", [f"voices/{voice_id}", f"voices/{voice_id}/mel"])


def _media(title: str, keys: list[str]) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.MediaBrowser(title=title, media_keys=keys, mode="grid", grid_x_axis="run", grid_y_axis="step")
