"""
A page in Airflow's UI: reviews, runs and models at a glance, and decisions for those who may make them.

Every process of Airflow imports this file when it starts, so it imports nothing. The first request, which only the API
server gets, imports the rest. docs/airflow-page.md has the permissions.
"""

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
        }
    ]
