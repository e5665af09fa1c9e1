# One image for every Airflow component and both workers. For a machine without a GPU,
# TORCH_INDEX=https://download.pytorch.org/whl/cpu leaves out 3 GB of CUDA libraries. EXTRAS=s3, gcs or s3,gcs adds the
# libraries for such an artifact store.
FROM python:3.11-slim-bookworm

ARG TORCH_INDEX=
ENV AIRFLOW_HOME=/opt/airflow \
    SENTI_HOME=/var/lib/senti \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

RUN useradd --uid 50000 --create-home airflow \
 && install --directory --owner airflow /opt/airflow /opt/airflow/logs /opt/senti /var/lib/senti

WORKDIR /opt/senti
COPY requirements.txt .
RUN pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.txt)" \
 && pip install --requirement requirements.txt

COPY pyproject.toml README.md ./
COPY sql sql
COPY senti_tasks senti_tasks
ARG EXTRAS=
RUN pip install --constraint requirements.txt --editable ".${EXTRAS:+[$EXTRAS]}"
COPY dags dags

USER airflow
CMD ["airflow", "version"]
