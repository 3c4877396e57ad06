#!/usr/bin/env python3
"""Publishes one event, with nothing but the standard library. Usage: publish.py SESSION DATA [TYPE]

WEIR_URL says where weir is, and WEIR_TOKEN holds the token, where one is needed.
"""

import http.client
import json
import os
import random
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

WEIR = os.environ.get("WEIR_URL", "http://127.0.0.1:8080")
# Without line ends and the like: they would be refused by an error that repeats the token.
TOKEN = re.sub(r"[^!-~]", "", os.environ.get("WEIR_TOKEN", ""))

# After five minutes weir forgets the key, and a repeat could be published twice.
GIVE_UP = 240


class NotPublished(Exception):
    """weir said no, or was away for too long."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection that is followed makes a GET of a POST."""

    def redirect_request(self, *_):
        return None


def publish(session: str, data: str, type: str | None = None) -> str:
    """Publishes an event once, however often it has to be asked for, and returns its id."""
    query = "?" + urllib.parse.urlencode({"type": type}) if type else ""
    url = f"{WEIR}/v1/sessions/{urllib.parse.quote(session, safe='')}/events{query}"
    # One key for all tries: so an event whose answer was lost is not published twice.
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "text/plain; charset=utf-8"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"

    opener = urllib.request.build_opener(NoRedirect)
    end, pause = time.monotonic() + GIVE_UP, 0.25
    while True:
        asked = 0.0
        try:
            request = urllib.request.Request(url, data.encode(), headers, method="POST")
            with opener.open(request, timeout=15) as answer:
                return json.load(answer)["id"]
        except urllib.error.HTTPError as error:
            trouble = f"{error}: {error.read().decode(errors='replace')}"
            if error.code < 500 and error.code not in (408, 425, 429):
                raise NotPublished(trouble) from None
            after = error.headers.get("Retry-After", "")
            asked = float(after) if after.isdigit() else 0.0
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            # No answer, half of one, or none of a weir: it may be published or not.
            trouble = repr(error)
        wait = max(pause, asked) * random.uniform(1, 1.2)
        if time.monotonic() + wait > end:
            raise NotPublished(f"nobody knows whether it is published: {trouble}")
        print(f"not published yet: {trouble}; again in {wait:.1f} s", file=sys.stderr)
        time.sleep(wait)
        pause = min(2 * pause, 10)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: publish.py SESSION DATA [TYPE]")
    try:
        print(publish(*sys.argv[1:]))
    except NotPublished as error:
        sys.exit(f"not published: {error}")
