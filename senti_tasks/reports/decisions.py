"""What a person can decide on the page in Airflow's UI: the question, what it means, and how the record reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from senti_tasks.reports import page


@dataclass(frozen=True, slots=True)
class Decision:
    """One kind of decision. ``{subject}`` in its texts is the run, the model or the champion that it is about."""

    button: str
    question: str
    means: str
    done: str
    is_serious: bool = False
    """Whether analysts see something else afterwards."""
    needs_reason: bool = True


DECISIONS = {
    "publish": Decision(
        "Publish anyway",
        "Publish run {subject} anyway?",
        "A check held this run because its labels differ unusually from those of earlier runs. If you publish it, "
        "analysts see its labels at once. Look at its report first.",
        "Run {subject} is published.",
        is_serious=True,
    ),
    "give-up": Decision(
        "Give up",
        "Give run {subject} up?",
        "Its labels are dropped, and analysts see none of them. Its reviews are pending again, and the next run labels "
        "them.",
        "Run {subject} is given up. The next run labels its reviews.",
    ),
    "promote": Decision(
        "Promote",
        "Promote the model {subject}?",
        "It becomes the champion. If another model is in service, that one stays in service until rescore_reviews has "
        "labelled every review with the new one. If the gate did not pass this model, the record says that you "
        "overruled it.",
        "The model {subject} is the champion.",
        is_serious=True,
    ),
    "roll-back": Decision(
        "Roll back",
        "Roll back from the model {subject}?",
        "The champion before it is promoted again and serves at once. Reviews that it has not labelled show the label "
        "they have now, until rescore_reviews has labelled them.",
        "The champion before {subject} is promoted again.",
        is_serious=True,
    ),
    "freeze": Decision(
        "Freeze publishing",
        "Freeze publishing?",
        "Runs are still scored and audited, but nothing is published, so analysts see what they see now.",
        "Publishing is frozen.",
    ),
    "unfreeze": Decision(
        "End the freeze",
        "End the freeze of publishing?",
        "Runs publish again. A run that waits is published by the next run of its kind.",
        "Publishing is possible again.",
        needs_reason=False,
    ),
}
"""By the name in the address."""
LONGEST_REASON = 500

RECORDED = {
    "gate": "promoted by the gate",
    "person": "promoted",
    "overruling": "promoted against the gate",
    "rollback": "promoted again by a rollback",
    "freeze": "froze publishing",
    "unfreeze": "ended the freeze",
    "give_up": "gave the run up",
    "publish_anyway": "published the held run anyway",
}
"""How the record reads, by the kind of ``warehouse.scoring.decisions.newest``."""


def question(
    name: str, subject: str | None, *, seen: str, address: str, home: str, written_at: datetime, by: str
) -> str:
    """The page that asks for confirmation of the decision ``name`` and sends it to ``address``. ``by`` is the user who
    will be on record, ``seen`` the present champion."""
    decision = DECISIONS[name]
    return page.render(
        "question",
        heading=decision.question.format(subject=subject),
        written_at=written_at,
        policy="; form-action 'self'",
        means=decision.means.format(subject=subject),
        decision=decision,
        longest=LONGEST_REASON,
        address=address,
        seen=seen,
        home=home,
        by=by,
    )


def notice(
    heading: str, paragraphs: Sequence[str], *, written_at: datetime, home: str | None, state: str = "bad"
) -> str:
    """A page that only says something, such as why the warehouse does not answer."""
    return page.render("notice", heading=heading, paragraphs=paragraphs, written_at=written_at, home=home, state=state)


def rows(recorded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the table of decisions: at, actor, did, subject and reason."""
    return [{**row, "did": RECORDED.get(row["kind"], row["kind"])} for row in recorded]
