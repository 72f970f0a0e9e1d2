"""Families of scalars that have no cards as one picture each: a row for each member, a column for each logged step.

    families = FamilyPictures()
    families.add(100, {"outputs/nll/codebook_0": 4.1, "outputs/nll/codebook_1": 5.0})
    families.add(200, {"outputs/nll/codebook_0": 3.2, "outputs/nll/codebook_1": 4.4})
    for image in families.images(200): ...        # Image over_time/outputs_nll

- Members are codebooks, layers or components. Maps that show a family at one step (`attention/mass_map`) exist anyway,
  so masses and paths, which have several members per layer, are left out.
- Drawing all families of a large model takes 0.3 s, so that each is drawn at every fourth step, and at the end.
- At most `MOST_COLUMNS` steps are kept; when they are full, every second one is dropped.
- After a resume a picture begins anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from tracker_logging import tags
from tracker_logging.events import Heatmap, Image

MOST_COLUMNS = 128
EVERY = 4
_MEMBER = re.compile(r"(?P<family>[^/]+(?:/[^/]+){1,2})/(?:(?P<kind>codebook|layer)_)?(?P<member>[^/]+)\Z")
_COMPONENTS = frozenset(tag.template for tag in (tags.GRADIENT_NORM, tags.UPDATE_RATIO, tags.TRAINABLE, tags.REACHED))


class FamilyPictures:
    """The history of families, for one thread."""

    def __init__(self) -> None:
        self._families: dict[str, dict[int, dict[str, float]]] = {}
        self._kinds: dict[str, str] = {}
        self._changed: set[str] = set()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step; those that are in no family are ignored."""
        for tag, value in values.items():
            place = _place(tag)
            if place is None:
                continue
            family, kind, member = place
            self._kinds[family] = kind
            steps = self._families.setdefault(family, {})
            steps.setdefault(step, {})[member] = value
            if len(steps) > MOST_COLUMNS:
                self._families[family] = {step: steps[step] for step in sorted(steps)[1::2]}
            self._changed.add(family)

    def images(self, step: int, *, is_last: bool = False) -> Iterator[Image]:
        """The pictures that are due of families with two members and two steps; if `is_last` all that have changed."""
        for family in sorted(self._changed):
            steps = self._families[family]
            if not (is_last or len(steps) <= EVERY or len(steps) % EVERY == 0):
                continue
            self._changed.discard(family)
            members = sorted({member for row in steps.values() for member in row}, key=_number)
            if len(members) > 1 and len(steps) > 1:
                tag = tags.OVER_TIME(family=family.replace("/", "_"))
                yield Image(step=step, tag=tag, picture=self._picture(family, members))

    def _picture(self, family: str, members: list[str]) -> Heatmap:
        steps = self._families[family]
        in_order = sorted(steps)
        values = np.array([[steps[step].get(member, np.nan) for step in in_order] for member in members], np.float32)
        known = tags.find(f"{family}/{members[0]}") or tags.find(f"{family}/{self._kinds[family]}_{members[0]}")
        return Heatmap(
            values=values,
            title=f"{family} by {self._kinds[family]}",
            row_axis=self._kinds[family],
            column_axis="step",
            row_labels=tuple(members),
            column_labels=tuple(str(step) for step in in_order),
            unit=known.unit if known else "",
        )


def _place(tag: str) -> tuple[str, str, str] | None:
    """(family, kind of member, member) of a scalar that is drawn; None for another."""
    match, known = _MEMBER.fullmatch(tag), tags.find(tag)
    if match is None or known is None or known.template.count("{") != 1:
        return None
    if match["kind"]:
        return match["family"], match["kind"], match["member"]
    return (match["family"], "component", match["member"]) if known.template in _COMPONENTS else None


def _number(member: str) -> tuple[int, str]:
    return (int(member), "") if member.isdigit() else (-1, member)
