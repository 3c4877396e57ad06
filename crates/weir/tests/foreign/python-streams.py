"""Usage: python python-streams.py BASE
The PyPI package `durable-streams`, synchronous and asynchronous, against the server at BASE."""

import asyncio
import sys
import threading

from durable_streams import AsyncDurableStream, DurableStream, astream, stream
from durable_streams import SeqConflictError, StreamNotFoundError

BASE = sys.argv[1] + "/v1/stream/python/"


def catches_up_and_resumes():
    with DurableStream.create(BASE + "catch-up", content_type="application/json") as handle:
        for n in range(3):
            handle.append({"n": n})
        with stream(handle.url, live=False) as first:
            assert first.read_json() == [{"n": n} for n in range(3)]
            offset = first.offset
        assert handle.head().offset == offset
        handle.append({"n": 3})
        with stream(handle.url, offset=offset, live=False) as rest:
            assert rest.read_json() == [{"n": 3}]
        handle.append({"n": 4}, seq="b")
        try:
            handle.append({"n": 5}, seq="a")
            raise AssertionError("a sequence went backwards")
        except SeqConflictError:
            pass
        handle.delete()
        try:
            handle.head()
            raise AssertionError("it was deleted")
        except StreamNotFoundError:
            pass


def follows(live):
    with DurableStream.create(BASE + live, content_type="application/json") as handle:
        handle.append({"n": 0})
        writer = threading.Thread(target=lambda: [handle.append({"n": n}) for n in range(1, 20)])
        got = []
        with stream(handle.url, offset="-1", live=live) as session:
            for item in session.iter_json():
                if not got:
                    writer.start()
                got.append(item["n"])
                if len(got) == 20:
                    break
        writer.join()
        assert got == list(range(20)), got


async def follows_asynchronously():
    async with await AsyncDurableStream.create(BASE + "async", content_type="text/plain") as handle:
        await handle.append("first\nline ")
        got = ""
        async with astream(handle.url, offset="-1", live="sse") as session:
            async for text in session.iter_text():
                if not got:
                    await handle.append("second \u00fcn\u00ef")
                got += text
                if len(got) >= 21:
                    break
        assert got == "first\nline second \u00fcn\u00ef", got


catches_up_and_resumes()
for live in ["sse", "long-poll", "auto"]:
    follows(live)
asyncio.run(follows_asynchronously())
print("done")
