"""The product on one machine, without servers: an embedded Airflow (`make up`) and the demo (`make run`)."""
