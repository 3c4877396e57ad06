"""What schemathesis cannot know from the description of weir."""

import itertools
import json

import schemathesis
from schemathesis.core import NotSet
from schemathesis.generation import GenerationMode

KEYS = itertools.count()


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """A batch as lines; what is no list stands on a line by itself."""
    events = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(event) for event in events).encode(errors="replace")


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A long-poll may take as long as it was asked to, and a key that was used is used."""
    query, headers = case.query or {}, case.headers or {}
    if query.get("wait") in range(1, 61):
        query["wait"] = 0
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) <= 128:
        headers["Idempotency-Key"] = key[:100] + f"-{next(KEYS)}"
    # A tail of what is not there is none.
    if "live" in query and case.meta and case.meta.generation.mode == GenerationMode.POSITIVE:
        case.path_parameters["name"] = "followed"


@schemathesis.hook
def filter_case(ctx, case):
    """Names are bounded in bytes, which a schema cannot say: those that are too long only so are left out."""
    if case.path.startswith("/v1/stream/") and not belongs_together(case):
        return False
    sent = [case.path_parameters or {}, case.query or {}]
    sent += case.body if isinstance(case.body, list) else []
    return not any(too_long(value) for part in sent if isinstance(part, dict) for value in part.values())


def belongs_together(case):
    """Of a stream, which headers and parameters need or exclude each other, which a schema cannot say. Headers that nobody
    knows are anybody's."""
    headers = {name.lower(): value for name, value in (case.headers or {}).items()}
    has = set(headers)
    producer = has & {"producer-id", "producer-epoch", "producer-seq"}
    forks = has & {"stream-fork-offset", "stream-fork-sub-offset"}
    is_empty = case.method.upper() == "POST" and isinstance(case.body, NotSet)
    query = case.query or {}
    return not (
        ("live" in query and "offset" not in query)
        # Only a tail looks at it, and then passes over one that says nothing.
        or ("last-event-id" in has and (query.get("live") != "sse" or not str(headers["last-event-id"]).strip()))
        or len(producer) in (1, 2)
        or {"stream-ttl", "stream-expires-at"} <= has
        or (forks and "stream-forked-from" not in has)
        or is_empty
        # What the generator takes for right where it has made nothing of a pattern.
        or "0" in (headers.get("stream-forked-from"), headers.get("last-event-id"))
        or "x-schemathesis-unknown-property" in has
    )


def too_long(value):
    if isinstance(value, list):
        return any(map(too_long, value))
    return isinstance(value, str) and len(value) <= 256 < len(value.encode(errors="replace"))
