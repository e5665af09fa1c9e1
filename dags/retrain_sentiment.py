"""
### Retrain the sentiment model

Every Sunday: freezes the labelled reviews into a corpus, fine-tunes a classifier on it, builds the fastest form of it
that gives the same labels (`SENTI_FORM`), measures that form beside the champion and a TF-IDF baseline on rows none of
them was trained on, and promotes it only if the gate agrees. A refused model is kept with its figures (`senti models
show VERSION`); the tasks after `is_deserved` are skipped then, and that is a good run.

**Safe to clear or retry at any time.** A retried task finds the corpus and the model that its first attempt made; a
killed training goes on from its last checkpoint on the same worker.

**If it fails:** fix the cause named at the end of the task's log, then clear the task. `CorpusError` asks for more
labels, `BaseModelError` for a hub mirror or a folder, `ArtifactError` for a restored artifact store.

**By hand:** trigger it with another `base_model` or other `config` fields (see `TrainConfig`), or run `senti retrain`.
"""

from airflow.sdk import Param, dag, task
from conventions import CHAMPION, DEFAULTS, DUE, GPU, ORIGIN, cron

from senti_tasks.jobs import forms, learning

BASE_MODEL = "{{ params.base_model }}"


@dag(
    schedule=cron("0 3 * * 0"),
    doc_md=__doc__,
    tags=["sentiment", "learning"],
    params={
        "base_model": Param(None, type=["null", "string"], description="Hub name, folder or scratch:*"),
        "config": Param({}, type="object", description="Fields of TrainConfig that differ from the recipe"),
        "gate": Param({}, type="object", description="Fields of GateConfig that differ from its defaults"),
    },
    **DEFAULTS,
)
def retrain_sentiment() -> None:
    corpus = task(learning.freeze_corpus)(due=DUE, origin=ORIGIN, base_model=BASE_MODEL)
    model = task(learning.train, **GPU)(
        corpus=corpus["corpus"], origin=ORIGIN, base_model=BASE_MODEL, config="{{ params.config }}"
    )
    form = task(forms.build_forms, **GPU)(model["model"])
    evaluation = task(learning.evaluate, **GPU)(form["model"])
    judgement = task(learning.judge)(evaluation, config="{{ params.gate }}")
    deserved = task.short_circuit(learning.is_deserved)(judgement)
    deserved >> task(learning.promote, outlets=[CHAMPION])(judgement, actor=ORIGIN)


retrain_sentiment()
