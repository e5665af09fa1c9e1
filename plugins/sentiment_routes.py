"""Routes and permissions of the page in Airflow's UI. What it shows and does is in ``senti_tasks.jobs.page``.

Airflow lets everybody reach the routes of a plugin, so each route here asks Airflow's auth manager: reading needs the
permission to read the DAG ``score_reviews``; a decision needs the permission to edit the DAG in ``DECIDED_BY``.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated
from urllib.parse import parse_qs, quote, urlsplit

import anyio
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as AnyHTTPException

from senti_tasks.errors import (
    AuditError,
    ConfigError,
    FrozenError,
    RegistryError,
    RevisionError,
    RunStateError,
    SentiError,
)
from senti_tasks.jobs import page
from senti_tasks.jobs.context import now
from senti_tasks.reports.decisions import notice

log = logging.getLogger(__name__)

PREFIX = "/sentiment"
READ_BY = "score_reviews"
DECIDED_BY = {
    "publish": "score_reviews",
    "give-up": "score_reviews",
    "freeze": "score_reviews",
    "unfreeze": "score_reviews",
    "promote": "retrain_sentiment",
    "roll-back": "retrain_sentiment",
}
"""The DAG that a user must be allowed to edit, by decision."""
READING = anyio.CapacityLimiter(4)
"""Threads in which the warehouse is read. They are none of those in which Airflow answers, so a warehouse that does not
answer slows no other page."""
DECIDING = anyio.CapacityLimiter(2)
ANSWER_S = 20
"""Seconds after which a reader gets an answer, whatever the warehouse does."""
LARGEST_FORM = 20_000

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

app = FastAPI(title="Sentiment", docs_url=None, redoc_url=None, openapi_url=None)


# Who may do what


def _may(user: GetUserDep, method: str, dag: str) -> bool:
    details = DagDetails(id=dag, team_name=DagModel.get_team_name(dag))
    return bool(get_auth_manager().is_authorized_dag(method=method, details=details, user=user))  # type: ignore[arg-type]


def _reader(user: GetUserDep) -> str:
    """The name of a user who may read the page."""
    if not _may(user, "GET", READ_BY):
        raise HTTPException(403, f"you may not read the DAG {READ_BY}, so you may not read this page")
    return user.get_name()


def _decisions(user: GetUserDep) -> frozenset[str]:
    """The decisions that the user may make."""
    editable = {dag for dag in sorted(set(DECIDED_BY.values())) if _may(user, "PUT", dag)}
    return frozenset(name for name, dag in DECIDED_BY.items() if dag in editable)


Reader = Annotated[str, Depends(_reader)]
Decisions = Annotated[frozenset[str], Depends(_decisions)]


def _decider(name: str, reader: Reader, may: Decisions) -> str:
    """The name of a user who may make the decision ``name``."""
    if name not in DECIDED_BY:
        raise HTTPException(404, f"there is no decision {name!r}")
    if name not in may:
        raise HTTPException(403, f"you may not edit the DAG {DECIDED_BY[name]}, so you may not decide this")
    return reader


def _sent_by_this_page(request: Request) -> None:
    """Refuses a request that another site had a browser send (CSRF). Every browser says in ``Origin`` which site a form
    is from, and over HTTPS also in ``Sec-Fetch-Site``. With a token in ``Authorization``, which no form can send, a
    program may decide too."""
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    ours = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc}
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is None or urlsplit(origin).netloc not in ours or site not in (None, "same-origin"):
        raise HTTPException(403, "this page did not send this decision: open the page in Airflow, and decide there")


Decider = Annotated[str, Depends(_decider)]
OwnForm = Annotated[None, Depends(_sent_by_this_page)]


# Routes


@app.get("/")
async def show(
    request: Request, reader: Reader, may: Decisions, done: str | None = None, subject: str | None = None
) -> Response:
    is_ours = (
        request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    )  # a link elsewhere could say anything
    said = (done, subject) if done is not None and is_ours else None
    return await _read(partial(page.show, may, _airflow(request), _page(request), said))


@app.get("/reports/model/{version}")
async def model_report(request: Request, reader: Reader, version: str) -> Response:
    return await _read(partial(page.model_report, version, f"{_page(request)}/"))


@app.get("/reports/run/{run_id}")
async def run_report(request: Request, reader: Reader, run_id: int) -> Response:
    return await _read(partial(page.run_report, run_id, f"{_page(request)}/"))


@app.get("/decide/{name}")
@app.get("/decide/{name}/{subject}")
async def ask(request: Request, actor: Decider, name: str, subject: str | None = None) -> Response:
    return await _read(partial(page.ask, name, subject, airflow=_airflow(request), page=_page(request), by=actor))


@app.post("/decide/{name}")
@app.post("/decide/{name}/{subject}")
async def decide(request: Request, actor: Decider, _: OwnForm, name: str, subject: str | None = None) -> Response:
    form = await _form(request)
    done = partial(page.decide, name, subject, form.get("reason", ""), actor, form.get("seen", ""))
    await run_sync(done, limiter=DECIDING)
    log.info("%s decided: %s %s", actor, name, subject or "")
    about = "" if subject is None else f"&subject={quote(subject, safe='')}"
    return RedirectResponse(f"{_page(request)}/?done={name}{about}", status_code=303)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            raise HTTPException(413, "the form is too large")
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _page(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _airflow(request: Request) -> str:
    return _page(request).removesuffix(PREFIX)


async def _read(write: Callable[[], str]) -> Response:
    """The HTML that ``write`` returns. It gets a thread of ``READING``, and ``ANSWER_S`` in all."""
    with anyio.fail_after(ANSWER_S):
        return HTMLResponse(await run_sync(write, limiter=READING, abandon_on_cancel=True))


# Answers to what goes wrong


@app.middleware("http")
async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


@app.exception_handler(AnyHTTPException)
async def refuse(request: Request, error: Exception) -> Response:
    """Sends a reader who is not logged in to Airflow's login; says to others why they are refused."""
    status = getattr(error, "status_code", 500)
    detail = str(getattr(error, "detail", error))
    is_unknown = status == 401 or detail == "Invalid JWT token"
    if is_unknown and request.method == "GET":
        return RedirectResponse(get_auth_manager().get_url_login(next_url=str(request.url)), status_code=303)
    heading = "You are not logged in" if is_unknown else "This is not possible"
    lines = ["Log in to Airflow, then decide again."] if is_unknown else [f"{detail[:1].upper()}{detail[1:]}."]
    return _notice(request, 401 if is_unknown else status, heading, lines)


@app.exception_handler(RequestValidationError)
async def find_nothing(request: Request, error: Exception) -> Response:
    return _notice(request, 404, "This is not possible", ["There is no such page: the number of a run is expected."])


@app.exception_handler(SentiError)
async def explain(request: Request, error: Exception) -> Response:
    text = f"{str(error)[:1].upper()}{str(error)[1:]}."
    if isinstance(error, RevisionError):
        ways = ["Type `senti migrate`, or start the service init (docker compose up) again. Then reload this page."]
        return _notice(request, 200, "The warehouse is not migrated", [text, *ways], state="wait")
    if isinstance(error, RegistryError | RunStateError):
        status = 404 if request.method == "GET" else 409
        return _notice(request, status, "This is not possible", [text])
    if isinstance(error, FrozenError | AuditError):
        return _notice(request, 409, "This is not possible now", [text])
    if isinstance(error, ConfigError) and request.method == "POST":
        return _notice(request, 400, "This is not possible", [text])
    return _unavailable(request, text)


@app.exception_handler(TimeoutError)
async def give_up(request: Request, error: Exception) -> Response:
    return _unavailable(request, f"The warehouse has not answered within {ANSWER_S} seconds.")


@app.exception_handler(SQLAlchemyError)
async def hide(request: Request, error: Exception) -> Response:
    log.error("the warehouse could not answer", exc_info=error)
    return _unavailable(request, f"The warehouse could not answer ({type(error).__name__}); the log has the reason.")


def _unavailable(request: Request, text: str) -> Response:
    ways = ["Nothing is lost: runs continue when it answers again. `senti doctor` looks for the cause."]
    return _notice(request, 503, "The warehouse does not answer", [text, *ways])


def _notice(request: Request, status: int, heading: str, lines: list[str], state: str = "bad") -> Response:
    html = notice(heading, lines, written_at=now(), home=f"{_page(request)}/", state=state)
    return HTMLResponse(html, status_code=status)
