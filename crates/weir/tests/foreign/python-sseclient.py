"""Usage: python python-sseclient.py URL

The PyPI package `sseclient-py` over `requests`. It leaves reconnecting to its user, who does it here as the standard says.
"""

import json
import signal
import sys
import time

import requests
from sseclient import SSEClient

# Whatever the test does, this process does not stay.
signal.alarm(120)

url = sys.argv[1]
last_id, retry_ms = "", 200
while True:
    try:
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        with requests.get(url, headers=headers, stream=True) as response:
            for sse in SSEClient(response).events():
                last_id = sse.id or last_id
                retry_ms = int(sse.retry or retry_ms)
                line = {"id": sse.id or "", "event": sse.event, "data": sse.data}
                print(json.dumps(line), flush=True)
    except requests.RequestException:
        pass
    time.sleep(retry_ms / 1000)
