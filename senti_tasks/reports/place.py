"""Addresses of the page in Airflow's UI, and of what it links to."""

from dataclasses import dataclass
from urllib.parse import quote

DAGS = ("score_reviews", "rescore_reviews", "retrain_sentiment", "maintain_warehouse", "pretrain_encoder")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the page is: the path of Airflow, without a slash at the end, and the page's own path below it."""

    airflow: str
    page: str

    @property
    def home(self) -> str:
        return f"{self.page}/"

    def report(self, kind: str, key: object) -> str:
        return f"{self.page}/reports/{kind}/{quote(str(key), safe='')}"

    def decision(self, name: str, subject: object = None) -> str:
        return f"{self.page}/decide/{name}" + ("" if subject is None else f"/{quote(str(subject), safe='')}")

    def dag(self, dag: str) -> str:
        return f"{self.airflow}/dags/{dag}"

    def dag_run(self, series: str) -> str | None:
        """The DAG run that opened a series, by the series' key; ``None`` if a command did."""
        dag, _, rest = series.partition("/")
        run = rest.partition("/")[0]
        return f"{self.dag(dag)}/runs/{quote(run, safe='')}" if dag in DAGS and run else None
