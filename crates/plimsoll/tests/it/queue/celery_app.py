"""A Celery application whose broker is the endpoint in BROKER."""

import os

from celery import Celery

app = Celery("reports", broker=os.environ["BROKER"])
app.conf.update(
    broker_transport_options={"region": "us-east-1", "visibility_timeout": 30, "wait_time_seconds": 1, "is_secure": False},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_acks_late=True,
    worker_send_task_events=False,
)


@app.task
def report(path, number):
    with open(path, "a") as file:
        file.write(f"{number}\n")
