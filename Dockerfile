# Two images. `control` has no torch: the scheduler, the API server and the others that run no model. `worker` has all.
# Without a GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu leaves 3 GB of CUDA libraries out of `worker`.
# EXTRAS=s3, gcs or s3,gcs adds the libraries for such an artifact store.
FROM python:3.11-slim-bookworm AS base

ENV AIRFLOW_HOME=/opt/airflow \
    SENTI_HOME=/var/lib/senti \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1
# docker-compose.yml hands out secrets to the user with this number.
RUN useradd --uid 50000 --create-home airflow \
 && install --directory --owner airflow /opt/airflow /opt/airflow/logs /opt/senti /var/lib/senti
WORKDIR /opt/senti


FROM base AS control

COPY requirements-control.txt .
RUN pip install --no-deps --require-hashes --requirement requirements-control.txt
COPY pyproject.toml README.md ./
COPY sql sql
COPY senti_tasks senti_tasks
ARG EXTRAS=
# pip installs no project of a folder while constraints have hashes.
RUN sed 's/ *\\$//; /--hash/d' requirements-control.txt > constraints.txt \
 && pip install --constraint constraints.txt --editable ".${EXTRAS:+[$EXTRAS]}"
COPY dags dags
COPY plugins plugins
USER airflow
CMD ["airflow", "version"]


FROM base AS worker

ARG TORCH_INDEX=
COPY requirements.txt .
RUN pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.txt)" \
 && pip install --requirement requirements.txt
COPY pyproject.toml README.md ./
COPY sql sql
COPY senti_tasks senti_tasks
ARG EXTRAS=
RUN pip install --constraint requirements.txt --editable ".[worker${EXTRAS:+,$EXTRAS}]"
COPY dags dags
COPY plugins plugins
USER airflow
CMD ["airflow", "version"]
