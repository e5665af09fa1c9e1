# Three images. `bi` is Superset with the dashboards, and nothing of the pipeline. `control` has no torch: the scheduler, the API server and the others that run no model. `worker` has all.
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


FROM python:3.11-slim-bookworm AS bi

ENV SUPERSET_HOME=/var/lib/superset \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1
RUN useradd --uid 50000 --create-home superset \
 && install --directory --owner superset /opt/senti /var/lib/superset
WORKDIR /opt/senti
COPY requirements-bi.txt .
RUN pip install --no-deps --require-hashes --requirement requirements-bi.txt
COPY sql sql
COPY dashboards dashboards
USER superset
CMD ["superset", "version"]


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
COPY requirements.txt requirements-worker.txt ./
# TORCH_INDEX decides which build of torch comes, and which CUDA libraries with it: these alone are installed without hashes.
RUN pip install --no-deps --require-hashes --requirement requirements-worker.txt \
 && pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.txt)"
COPY pyproject.toml README.md ./
COPY sql sql
COPY senti_tasks senti_tasks
ARG EXTRAS=
RUN pip install --constraint requirements.txt --editable ".[worker${EXTRAS:+,$EXTRAS}]"
COPY dags dags
COPY plugins plugins
# docker compose build --build-arg SENTI_COMMIT=$(git rev-parse HEAD): it is recorded with every training.
ARG SENTI_COMMIT=
ENV SENTI_COMMIT=$SENTI_COMMIT
USER airflow
CMD ["airflow", "version"]
