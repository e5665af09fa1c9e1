"""Plots as inline SVG. Colours are CSS classes of ``templates/page.html``; every text is escaped.

A plot is drawn for a width of 340 units, so that its text stays readable on a narrow screen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 340, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 8, 42
_STRIP_WIDTH, _STRIP_HEIGHT = 300, 22
MOST_POINTS = 200
"""Points of a curve that are drawn: more are not visible, and would make the file large."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a plot: its name, and its range. ``low`` is below ``high``."""

    name: str
    low: float = 0.0
    high: float = 1.0

    def place(self, value: float, start: float, end: float) -> float:
        """Where ``value`` lies between ``start`` (at ``low``) and ``end`` (at ``high``); values outside are clipped."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return start + share * (end - start)


def axis_over(name: str, values: Sequence[float], *, zero: bool = False) -> Axis:
    """An axis for the finite ones of ``values``, with a margin of 5 %. ``zero``: it begins at 0."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = (0.0 if zero else min(finite)), max(finite)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(name, low if zero else low - margin, high + margin)


def curves(title: str, lines: Mapping[str, Points], x: Axis, y: Axis, *, diagonal: bool = False) -> Markup:
    """Lines (name to points, in order of x) with a legend above them; names are also told apart by dashes."""
    drawn = [_frame(x, y)]
    if diagonal:
        drawn.append(_path([(x.low, y.low), (x.high, y.high)], x, y, "guide"))
    for number, points in enumerate(lines.values()):
        drawn.append(_path(_thinned(points), x, y, f"line line-{number % 4}"))
        if len(points) <= 20:
            drawn.extend(_dot(point, x, y, f"dot dot-{number % 4}") for point in points)
    return _figure(title, drawn, list(lines))


def bands(title: str, before: Sequence[float], now: float, low: float, high: float, y: Axis) -> Markup:
    """The values of earlier runs in order, the band of what is usual, and the value of this run at the right."""
    x = Axis("earlier runs, then this run", -0.5, len(before) + 0.5)
    top, bottom = y.place(high, *_ends_y()), y.place(low, *_ends_y())
    band = Markup('<rect class="band" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>')
    drawn = [band.format(_LEFT, top, WIDTH - _LEFT - _RIGHT, max(bottom - top, 1)), _frame(x, y, ticks_x=False)]
    drawn.extend(_dot((float(place), value), x, y, "dot dot-1") for place, value in enumerate(before))
    drawn.append(_dot((float(len(before)), now), x, y, "dot dot-0", radius=5))
    return _figure(title, drawn, ["this run", "earlier runs"])


def bars(title: str, values: Sequence[tuple[str, float]], y: Axis, x_name: str) -> Markup:
    """One bar for each of ``values``: what it stands for, shown when a pointer rests on it, and its height."""
    x = Axis(x_name, -0.5, max(len(values), 1) - 0.5)
    width = 0.7 * (WIDTH - _LEFT - _RIGHT) / max(len(values), 5)
    bar = Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
    drawn = []
    for place, (name, value) in enumerate(values):
        top, bottom = y.place(value, *_ends_y()), HEIGHT - _BOTTOM
        drawn.append(bar.format(_x(place, x) - width / 2, top, width, max(bottom - top, 0.5), name))
    return _figure(title, [*drawn, _frame(x, y, ticks_x=False)], [])


def strip(
    figure: float,
    axis: Axis,
    *,
    interval: tuple[float, float] | None = None,
    threshold: float | None = None,
    passed: bool = True,
) -> Markup:
    """One row of a forest plot, without text: the figure as a dot, its interval as a line, the threshold as a dashed
    line, and zero as a thin line. An end of the interval that is not finite has an arrow."""
    middle = _STRIP_HEIGHT / 2
    state = "good" if passed else "bad"

    def at(value: float) -> float:
        return axis.place(value, 6, _STRIP_WIDTH - 6)

    upright = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="1" y2="{}"/>')
    drawn = []
    if axis.low < 0 < axis.high:
        drawn.append(upright.format("axis", at(0), at(0), _STRIP_HEIGHT - 1))
    if threshold is not None:
        drawn.append(upright.format("threshold", at(threshold), at(threshold), _STRIP_HEIGHT - 1))
    if interval is not None:
        low, high = interval
        flat = Markup('<line class="whisker {}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>')
        drawn.append(flat.format(state, at(low), at(high), middle, middle))
        tip = Markup('<path class="tip {}" d="M{:.1f} {} l{} -4 v8 z"/>')
        if low == -math.inf:
            drawn.append(tip.format(state, at(low) - 5, middle, 6))
        if high == math.inf:
            drawn.append(tip.format(state, at(high) + 5, middle, -6))
    drawn.append(Markup('<circle class="{}" cx="{:.1f}" cy="{}" r="4.5"/>').format(state, at(figure), middle))
    body = Markup("").join(drawn)
    return Markup('<svg class="strip" viewBox="0 0 {} {}" role="img" aria-label="{:+.3f}">{}</svg>').format(
        _STRIP_WIDTH, _STRIP_HEIGHT, figure, body
    )


def _ends_y() -> tuple[float, float]:
    return HEIGHT - _BOTTOM, _TOP


def _x(value: float, x: Axis) -> float:
    return x.place(value, _LEFT, WIDTH - _RIGHT)


def _dot(point: tuple[float, float], x: Axis, y: Axis, css: str, radius: float = 3) -> Markup:
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(
        css, _x(point[0], x), y.place(point[1], *_ends_y()), radius
    )


def _path(points: Points, x: Axis, y: Axis, css: str) -> Markup:
    placed = " L".join(f"{_x(one, x):.1f} {y.place(other, *_ends_y()):.1f}" for one, other in points)
    return Markup('<path class="{}" d="M{}"/>').format(css, placed) if points else Markup("")


def _thinned(points: Points) -> Points:
    """At most ``MOST_POINTS`` of ``points``, evenly spaced, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(number * step)] for number in range(MOST_POINTS)]


def _frame(x: Axis, y: Axis, *, ticks_x: bool = True) -> Markup:
    """Both axes with their ticks and names."""
    line = Markup('<line class="axis" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    text = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    bottom = HEIGHT - _BOTTOM
    drawn = [line.format(_LEFT, WIDTH - _RIGHT, bottom, bottom), line.format(_LEFT, _LEFT, _TOP, bottom)]
    for value in _ticks(y):
        place = y.place(value, *_ends_y())
        drawn.extend(
            (line.format(_LEFT - 3, _LEFT, place, place), text.format(_LEFT - 5, place + 4, "end", _short(value)))
        )
    for value in _ticks(x) if ticks_x else ():
        place = _x(value, x)
        drawn.extend(
            (line.format(place, place, bottom, bottom + 3), text.format(place, bottom + 19, "middle", _short(value)))
        )
    drawn.append(text.format((WIDTH + _LEFT) / 2, HEIGHT - 6, "middle", x.name))
    return Markup("").join(drawn)


def _short(value: float) -> str:
    """A tick as text that fits beside its axis: 0.00075 as 7.5e-4, 250,000 as 250k, 2,500,000 as 2.5M."""
    if abs(value) >= 10_000:
        return f"{value / 1e6:g}M" if abs(value) >= 1_000_000 else f"{value / 1e3:g}k"
    text = f"{value:g}"
    return text if len(text) <= 6 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def _ticks(axis: Axis) -> list[float]:
    """At most six round numbers within the range of ``axis``."""
    least = (axis.high - axis.low) / 5
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * 0.999)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _figure(title: str, drawn: Sequence[Markup], legend: Sequence[str]) -> Markup:
    """A figure with its title and legend as HTML above the SVG, where long names can wrap."""
    key = Markup("").join(
        Markup(
            '<span><svg class="key" viewBox="0 0 24 10"><path class="line line-{}" d="M1 5 H23"/></svg>{}</span>'
        ).format(number % 4, name)
        for number, name in enumerate(legend)
    )
    return Markup(
        '<figure><figcaption>{}<span class="legend">{}</span></figcaption>'
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></figure>'
    ).format(title, key, WIDTH, HEIGHT, title, Markup("").join(drawn))
