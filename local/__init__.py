"""The product on one machine, without servers: Airflow embedded, and the walk that `make run` takes."""
