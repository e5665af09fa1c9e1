"""Renders a template of this folder as one HTML file that loads nothing. Jinja escapes every value."""

import math
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

LONGEST_TEXT = 400
"""Characters of a review that are shown."""


def render(template: str, **values: Any) -> str:
    """The HTML of ``templates/TEMPLATE.html`` with ``values``. A value that the template needs and that is missing
    raises ``jinja2.UndefinedError``."""
    return _TEMPLATES.get_template(f"{template}.html").render(values)


def number(value: Any) -> str:
    """``value`` as people read it: thousands separated, four digits of a fraction, a time in minutes; – for none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "–" if value is None else str(value)


def percent(value: float | None) -> str:
    """A share from 0 to 1 as a percentage with one digit after the point."""
    return "–" if value is None else f"{100 * value:.1f} %"


def points(value: float | None) -> str:
    """A difference of shares as percentage points with a sign."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:+.1f}"


def excerpt(text: str | None) -> str:
    """The first ``LONGEST_TEXT`` characters of a text; a review may have a million."""
    if text is None:
        return "(the text is no longer stored)"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def title(name: str) -> str:
    """A column's, a figure's or a rule's name as words."""
    return _TITLES.get(name, name.replace("_", " "))


_TITLES = {"macro_f1": "macro-F1", "roc_auc": "ROC-AUC", "brier": "Brier score", "ece": "ECE", "nll": "NLL"}
_TEMPLATES = Environment(
    loader=PackageLoader("senti_tasks.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(number=number, percent=percent, points=points, excerpt=excerpt, title=title)
