"""
### Pretrain an encoder on the reviews

Every month, if unpaused, this DAG trains an encoder on the texts of the reviews, without labels, by predicting masked
tokens (Gururangan et al. 2020). A classifier that starts from it needs fewer labels. Texts of the validation and test
splits, and near-duplicates of them, are left out. `retrain_sentiment` starts from the newest encoder if
`SENTI_BASE_MODEL` is `pretrained:newest`.

**The DAG is paused by default.** To use it: trigger a first run with a `base_model` (or run `senti pretrain
--base-model NAME`), compare `senti retrain --base-model pretrained:newest` with the model in use, then set
`SENTI_BASE_MODEL` and unpause the DAG. Each run begins with the base model of the newest encoder, not with the
encoder itself.

**Clear or retry any task at any time.** A retried task finds the encoder that its first attempt made. A training that
was killed continues from its last checkpoint on the same worker, at most `SENTI_CHECKPOINT_MINUTES` back. In the hours
of `SENTI_NO_TRAINING` it pauses: its task is retried when they are over. Every half hour it gives its slot to a task of
`retrain_sentiment` or `rescore_reviews` that waits for it, and continues afterwards.

**If it fails:** correct the cause named at the end of the task's log, then clear the task. `CorpusError` means that
there are too few reviews. `BaseModelError` means that the base model cannot be loaded: set a mirror of the Hub, or
give a folder. `RegistryError` means that there is no encoder yet: give a `base_model`.
"""

from airflow.sdk import Param, dag, task
from conventions import DEFAULTS, DUE, IDEMPOTENCY_KEY, SLOTS, about, cron

from senti_tasks.jobs import pretraining

BASE_MODEL, CONFIG = "{{ params.base_model }}", "{{ params.config }}"


@dag(
    schedule=cron("0 7 1 * *"),
    is_paused_upon_creation=True,
    **about(__doc__),
    tags=["sentiment", "training"],
    params={
        "base_model": Param(None, type=["null", "string"], description="Hub name, folder or scratch:*"),
        "config": Param({}, type="object", description="Fields of PretrainConfig that differ from the recipe"),
    },
    **DEFAULTS,
)
def pretrain_encoder() -> None:
    texts = task(pretraining.snapshot_texts)(
        due=DUE, idempotency_key=IDEMPOTENCY_KEY, base_model=BASE_MODEL, config=CONFIG
    )
    task(pretraining.pretrain, **SLOTS.pretraining)(
        texts, idempotency_key=IDEMPOTENCY_KEY, config=CONFIG, turn_minutes=30
    )


pretrain_encoder()
