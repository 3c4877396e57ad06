"""Usage: python python-httpx-sse.py URL

The PyPI package `httpx-sse`. It leaves reconnecting to its user, who does it here as the standard says.
"""

import json
import signal
import sys
import time

import httpx
from httpx_sse import connect_sse

# Whatever the test does, this process does not stay.
signal.alarm(120)

url = sys.argv[1]
last_id, retry_ms = "", 200
with httpx.Client(timeout=None) as client:
    while True:
        try:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            with connect_sse(client, "GET", url, headers=headers) as source:
                for sse in source.iter_sse():
                    last_id = sse.id or last_id
                    retry_ms = sse.retry or retry_ms
                    line = {"id": sse.id, "event": sse.event, "data": sse.data}
                    print(json.dumps(line), flush=True)
        except httpx.TransportError:
            pass
        time.sleep(retry_ms / 1000)
