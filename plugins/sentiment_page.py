"""
A page in Airflow's UI: reviews, runs and models at a glance, and decisions for those who may make them.

Every process of Airflow imports this file when it starts, so it imports nothing. The first request, which only the API
server gets, imports the rest. docs/airflow-page.md has the permissions.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]


async def page(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The FastAPI application of ``sentiment_routes``, as ASGI calls it."""
    from anyio.to_thread import run_sync

    application = await run_sync(_application)
    await application(scope, receive, send)


def _application() -> Any:
    from sentiment_routes import app  # type: ignore[import-not-found]  # Airflow puts this folder on the path

    return app


ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke-linecap="round"><defs>'
    '<g id="face"><path d="M21 12a8 8 0 0 1-8 8H4l2-3a8 8 0 1 1 15-5Z"/>'
    '<path d="M9.5 13a4 4 0 0 0 7 0"/><path d="M10.5 9.5v.01M15.5 9.5v.01"/></g></defs>'
    '<use href="#face" stroke="#fff" stroke-width="{}"/><use href="#face" stroke="{}" stroke-width="2"/></svg>'
)


def _icon(colour: str, halo: int) -> str:
    """The icon as a data URL. The white ``halo`` keeps a dark icon visible on the dark ground of the entry in use."""
    return "data:image/svg+xml;base64," + b64encode(ICON.format(halo, colour).encode()).decode()


class SentimentPage(AirflowPlugin):
    name = "sentiment"
    fastapi_apps = [{"app": page, "url_prefix": "/sentiment", "name": "Sentiment"}]  # noqa: RUF012  Airflow's way
    external_views = [  # noqa: RUF012
        {
            "name": "Sentiment",
            "href": "sentiment/",  # relative, because Airflow may be below a path
            "url_route": "sentiment",
            "destination": "nav",
            "nav_top_level": True,
            "icon": _icon("#475569", 4),
            "icon_dark_mode": _icon("#cbd5e1", 0),
        }
    ]
