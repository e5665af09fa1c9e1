"""
### Retrain the sentiment model

Every Sunday, this DAG makes a corpus snapshot of the labelled reviews and fine-tunes a classifier on it. It builds
the fastest variant that gives the same labels (`SENTI_VARIANT`), and evaluates that variant beside the champion, the
anchor and a TF-IDF baseline on rows that none of them was trained on. The gate decides whether it is promoted. A
refused model is kept with its figures (`senti models show VERSION`), and the tasks after `is_deserved` are skipped;
that is normal. `rank_suspects` writes labels that are probably wrong to the view `suspect_annotations`.

With `SENTI_PROMOTION=approval`, a person decides about a model that passed the gate. The task `approve` shows the
scorecard and waits five days for an answer (Required Actions in this UI, or the REST API). No answer means no: the
champion stays. Clear `approve` to ask again.

**Clear or retry any task at any time.** A retried task finds the corpus and the model that its first attempt made. A
training that was killed continues from its last checkpoint on the same worker. In the hours of `SENTI_NO_TRAINING` it
pauses: its task is retried when they are over.

**If it fails:** correct the cause named at the end of the task's log, then clear the task. `CorpusError` means that
there are too few labels. `BaseModelError` means that the base model cannot be loaded: set a mirror of the Hub, or
give a folder. `ArtifactError` means that the artifact store has to be restored. If `alarm` fails, the other tasks
continue: the champion is significantly less accurate on new labels than when it was promoted, and a person should
look at it.

**By hand:** trigger it with another `base_model` or other `config` fields (see `TrainConfig`), or run `senti
retrain`.
"""

from airflow.sdk import Param, dag, task
from conventions import CHAMPION, DEFAULTS, DUE, IDEMPOTENCY_KEY, SLOTS, about, ask, cron

from senti_tasks.jobs import champion, corpora, judging, suspects, training, variants

BASE_MODEL, CONFIG, GATE = "{{ params.base_model }}", "{{ params.config }}", "{{ params.gate }}"
PARAMS = {
    "base_model": Param(None, type=["null", "string"], description="Hub name, folder, scratch:*, pretrained:*, tfidf"),
    "config": Param({}, type="object", description="Fields of TrainConfig (or TfidfConfig) to change"),
    "gate": Param({}, type="object", description="Fields of GateConfig that differ from its defaults"),
}


@dag(schedule=cron("0 6 * * 0"), tags=["sentiment", "training"], params=PARAMS, **about(__doc__), **DEFAULTS)
def retrain_sentiment() -> None:
    choice = {"base_model": BASE_MODEL, "config": CONFIG}
    corpus = task(corpora.snapshot_corpus)(due=DUE, idempotency_key=IDEMPOTENCY_KEY, gate=GATE, **choice)["corpus"]
    task(suspects.rank_suspects)(corpus)
    task(champion.alarm)(task(champion.check_champion, **SLOTS.check)(corpus, config=GATE))
    trained = task(training.train, **SLOTS.training)(corpus, idempotency_key=IDEMPOTENCY_KEY, **choice)
    variant = task(variants.build_variants, **SLOTS.evaluation)(trained["model"])
    evaluation = task(judging.evaluate, **SLOTS.evaluation)(variant["model"])
    judgement = task(judging.judge)(evaluation, config=GATE)
    deserved = task.short_circuit(judging.is_deserved)(judgement)
    way = task.branch(judging.who_promotes)(judgement)
    card = task(judging.scorecard)(judgement)
    approve = ask("approve", "Promote the newly trained model?", "{{ ti.xcom_pull(task_ids='scorecard') }}")
    deserved >> way >> [task(judging.promote, outlets=[CHAMPION])(judgement, actor=IDEMPOTENCY_KEY), card]
    card >> approve >> task(judging.promote_approved, outlets=[CHAMPION])(judgement, approve.output)


retrain_sentiment()
