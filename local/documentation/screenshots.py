"""Writes the pictures of docs/images: ``python -m local.documentation.screenshots``.

They show the page in Airflow's UI and the report on the model in service, after two weeks of runs on the project's
own sample, which are done in a warehouse of their own and take some minutes. It needs Chromium and a font with
Chinese glyphs. docs/images/dashboard.png is a picture of `make bi`, made by hand.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from local.documentation import sample_history
from local.documentation.sources import ROOT
from senti_tasks.jobs import page
from senti_tasks.jobs.operations import upkeep
from senti_tasks.reports.decisions import DECISIONS

IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

LARGEST = 200_000
"""Bytes of a picture, at most: it is in everybody's checkout."""


def main() -> None:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit("expected Chromium, found none: apt-get install chromium fonts-noto-cjk")
    with TemporaryDirectory() as folder:
        for name in [name for name in os.environ if name.startswith("SENTI_")]:
            del os.environ[name]
        os.environ.update(SENTI_HOME=folder, SENTI_VARIANT="fp32")
        sample_history.play(Path(folder))
        version = upkeep.status()["in_service"]
        pages = {
            "page": (page.show(list(DECISIONS), "/", "/sentiment"), 1000, 1060),
            "report": (page.model_report(version, ""), 1000, 1000),
        }
    for name, (html, width, height) in pages.items():
        picture = IMAGES / f"{name}.png"
        _draw(program, html, width, height, picture)
        size = picture.stat().st_size
        sys.stdout.write(f"{picture.relative_to(ROOT)}: {size:,} bytes\n")
        if size > LARGEST:
            sys.exit(f"{picture.name} has {size:,} bytes, and {LARGEST:,} are allowed: make the window smaller")


def _draw(program: str, html: str, width: int, height: int, picture: Path) -> None:
    """Writes what a window of this size shows of ``html``, in light colours."""
    with TemporaryDirectory() as folder:
        shown = Path(folder) / "page.html"
        shown.write_text(html, "utf-8")
        subprocess.run(  # noqa: S603  a browser of this machine, with our own file
            [
                *(program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--window-size={width},{height}", f"--user-data-dir={folder}/profile", f"--screenshot={picture}"),
                shown.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
