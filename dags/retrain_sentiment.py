"""
### Retrain the sentiment model

Every Sunday: makes a corpus snapshot of the labelled reviews, fine-tunes a classifier on it, builds the fastest variant
of it that gives the same labels (`SENTI_VARIANT`), measures that variant beside the champion and a TF-IDF baseline on
rows none of them was trained on, and promotes it only if the gate agrees. A refused model is kept with its figures
(`senti models show VERSION`); the tasks after `is_deserved` are skipped then, and that is a good run. `rank_suspects`
runs beside the training: labels that are probably wrong go to the view `suspect_annotations`.

With `SENTI_PROMOTION=approval` a person decides on what the gate lets through: `approve` waits five days for an answer
(Required Actions in this UI, or the REST API) and shows the scorecard. No answer is a refusal: the champion stays.
Clear `approve` to be asked again.

**Safe to clear or retry at any time.** A retried task finds the corpus and the model that its first attempt made; a
killed training goes on from its last checkpoint on the same worker.

**If it fails:** fix the cause named at the end of the task's log, then clear the task. `CorpusError` asks for more
labels, `BaseModelError` for a hub mirror or a folder, `ArtifactError` for a restored artifact store. A red `alarm`
holds nothing up: the champion does worse on newly labelled reviews than it was promoted for, and a person should look.

**By hand:** trigger it with another `base_model` or other `config` fields (see `TrainConfig`), or run `senti retrain`.
"""

from airflow.sdk import Param, dag, task
from conventions import CHAMPION, DEFAULTS, DUE, GPU, IDEMPOTENCY_KEY, ask, cron

from senti_tasks.jobs import champion, corpora, judging, suspects, training, variants

BASE_MODEL, CONFIG, GATE = "{{ params.base_model }}", "{{ params.config }}", "{{ params.gate }}"
PARAMS = {
    "base_model": Param(None, type=["null", "string"], description="Hub name, folder, scratch:* or pretrained:*"),
    "config": Param({}, type="object", description="Fields of TrainConfig that differ from the recipe"),
    "gate": Param({}, type="object", description="Fields of GateConfig that differ from its defaults"),
}


@dag(schedule=cron("0 3 * * 0"), doc_md=__doc__, tags=["sentiment", "training"], params=PARAMS, **DEFAULTS)
def retrain_sentiment() -> None:
    choice = {"base_model": BASE_MODEL, "config": CONFIG}
    corpus = task(corpora.snapshot_corpus)(due=DUE, idempotency_key=IDEMPOTENCY_KEY, gate=GATE, **choice)["corpus"]
    task(suspects.rank_suspects)(corpus)
    first = {"priority_weight": 1000, "weight_rule": "absolute"}  # it is short, and should not wait for a training
    task(champion.alarm)(task(champion.check_champion, **GPU, **first)(corpus, config=GATE))
    trained = task(training.train, **GPU)(corpus, idempotency_key=IDEMPOTENCY_KEY, **choice)
    variant = task(variants.build_variants, **GPU)(trained["model"])
    evaluation = task(judging.evaluate, **GPU)(variant["model"])
    judgement = task(judging.judge)(evaluation, config=GATE)
    deserved = task.short_circuit(judging.is_deserved)(judgement)
    way = task.branch(judging.who_promotes)(judgement)
    card = task(judging.scorecard)(judgement)
    approve = ask("approve", "Promote the newly trained model?", "{{ ti.xcom_pull(task_ids='scorecard') }}")
    deserved >> way >> [task(judging.promote, outlets=[CHAMPION])(judgement, actor=IDEMPOTENCY_KEY), card]
    card >> approve >> task(judging.promote_approved, outlets=[CHAMPION])(judgement, approve.output)


retrain_sentiment()
