"""Sends tasks to the broker in BROKER, and waits for a worker of Celery to do them: each once. argv[1]: a folder to write in."""

import os
import subprocess
import sys
import time

from celery_app import report

TASKS = 20
path = os.path.join(sys.argv[1], "done")
worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--pool", "solo", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
)
try:
    for number in range(TASKS):
        report.delay(path, number)
    late = time.monotonic() + 60
    done = []
    while len(done) < TASKS and time.monotonic() < late:
        time.sleep(0.1)
        done = open(path).read().split() if os.path.exists(path) else []
    # Nothing comes twice.
    time.sleep(1)
    done = open(path).read().split()
    assert sorted(map(int, done)) == list(range(TASKS)), done
    print("well")
finally:
    worker.terminate()
    worker.wait()
