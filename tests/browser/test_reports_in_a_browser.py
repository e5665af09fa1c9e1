"""Reports and the page in Airflow in a real browser: no request or message, readable, and no sideways scrolling."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.sample_pages import notice_html, page_html, question_html
from tests.sample_reports import compare_html, model_html, run_html

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here: apt-get install chromium")

OVERLAPS = """
(() => {
  const all = [...document.querySelectorAll('svg.plot text')];
  const texts = all.map(one => [one.closest('svg'), one.getBoundingClientRect()]);
  const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return texts.filter(([svg, a], i) => texts.some(([other, b], j) => i < j && svg === other && touch(a, b))).length;
})()
"""
CUT = """
[...document.querySelectorAll('svg.plot text')].filter(one => {
  const text = one.getBoundingClientRect(), plot = one.closest('svg').getBoundingClientRect();
  const isInside = text.left >= plot.left - 1 && text.right <= plot.right + 1 && text.bottom <= plot.bottom + 1;
  return !isInside || text.top < plot.top - 3;
}).length
"""
PAGES = {
    "model": model_html,
    "run": run_html,
    "compare": compare_html,
    "sentiment": page_html,
    "question": question_html,
    "notice": notice_html,
}
# WCAG 2.2, 1.4.3: the luminance of each text against the nearest background that is painted
CONTRAST = """
(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (color.startsWith('rgb') && rgb(color)[3] !== 0) return rgb(color);
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll('body *')].filter(one => one.closest('.matrix') === null
    && [...one.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
  return texts.filter(one => {
    const style = getComputedStyle(one);
    const [a, b] = [luminance(rgb(one.closest('svg') ? style.fill : style.color)), luminance(behind(one))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map(one => one.outerHTML.slice(0, 80));
})()
"""
SMALLEST = "Math.min(...[...document.querySelectorAll('svg.plot')].map(one => one.getBoundingClientRect().width)) / 340"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Tab]:
    with chromium.tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", PAGES)
def test_a_report_loads_nothing_and_fits_the_screen(tab: chromium.Tab, tmp_path: Path, name: str, width: int) -> None:
    path = tmp_path / "report.html"
    path.write_text(PAGES[name](), "utf-8")
    colours = set()
    for scheme in ("light", "dark"):
        tab.open(path, width, scheme=scheme)
        requests = [
            event["params"]["request"]["url"]
            for event in tab.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        said = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"} & set(tab.methods())
        assert not said, tab.events
        assert tab.value("document.documentElement.scrollWidth") <= width
        assert tab.value(OVERLAPS) == 0
        assert tab.value(CUT) == 0
        if "<svg" in path.read_text("utf-8"):
            assert tab.value(SMALLEST) > 0.85, "text of 12 units is at least 10 pixels high"
        assert tab.value("document.querySelectorAll('script').length") == (1 if name == "sentiment" else 0)
        assert tab.value(CONTRAST) == [], "text that is hard to read"
        colours.add(tab.value("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2, "light and dark"
    tab.open(path, width, scheme="dark", media="print")
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
