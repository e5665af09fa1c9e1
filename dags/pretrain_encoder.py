"""
### Pretrain an encoder on the reviews

Every month, where it is wanted: teaches an encoder the language of the reviews from their texts alone, by predicting
masked tokens (Gururangan et al. 2020), so that fewer labels go further. Texts of the validation and test splits are
left out, and so are their near-duplicates. `retrain_sentiment` starts from the newest encoder where `SENTI_BASE_MODEL`
is `pretrained:newest`.

**It is paused until somebody wants it.** Give the first run a `base_model` (trigger it by hand, or run `senti pretrain
--base-model NAME`), hold a `senti retrain --base-model pretrained:newest` against the model in use, then set
`SENTI_BASE_MODEL` and unpause this DAG. Each run starts afresh, from what the newest encoder started from.

**Safe to clear or retry at any time.** A retried task finds the encoder that its first attempt made; a killed training
goes on from its last checkpoint, at most 500 steps back, on the same worker.

**If it fails:** fix the cause named at the end of the task's log, then clear the task. `CorpusError` asks for more
reviews, `BaseModelError` for a hub mirror or a folder, `RegistryError` for a `base_model`, since no encoder names one.
"""

from airflow.sdk import Param, dag, task
from conventions import DEFAULTS, DUE, GPU, IDEMPOTENCY_KEY, cron

from senti_tasks.jobs import pretraining

BASE_MODEL, CONFIG = "{{ params.base_model }}", "{{ params.config }}"


@dag(
    schedule=cron("0 4 1 * *"),
    is_paused_upon_creation=True,
    doc_md=__doc__,
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
    task(pretraining.pretrain, **GPU)(texts, idempotency_key=IDEMPOTENCY_KEY, config=CONFIG)


pretrain_encoder()
