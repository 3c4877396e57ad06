#!/usr/bin/env python3
"""The application's own server: its REST endpoint, /api/matches, and the page. It does not know weir, and works without it.

Its answer is kept for 10 s. `?cache=refresh` is answered from Redis, but for all who ask together once in half a second: after an
outage everybody asks."""

import http.server
import json
import os
import pathlib
import threading
import time

from plain_redis import Redis

HERE = pathlib.Path(__file__).parent
CLIENT = HERE / '../../../crates/weir-web/client/dist/client.js'
HTML, SCRIPT = 'text/html; charset=utf-8', 'text/javascript; charset=utf-8'
FILES = {
    '/': (HERE / 'index.html', HTML),
    '/page.js': (HERE / 'page.js', SCRIPT),
    '/by-client.js': (HERE / 'by-client.js', SCRIPT),
    '/by-event-source.js': (HERE / 'by-event-source.js', SCRIPT),
    # The page brings its client along, so that it works while weir does not.
    '/weir-client.js': (CLIENT, SCRIPT),
}


class Matches:
    def __init__(self):
        self.redis, self.lock = Redis(), threading.Lock()
        self.answer, self.read = b'{"matches":[]}', float('-inf')

    def get(self, oldest):
        """What they are, or were within so many seconds. While Redis is away, what they were last."""
        with self.lock:
            if time.monotonic() - self.read > oldest:
                try:
                    all = [json.loads(match) for match in self.redis.call('HVALS', 'matches')]
                    self.answer = json.dumps({'matches': sorted(all, key=lambda match: match['id'])}).encode()
                except OSError as error:
                    print(f'api: {error}', flush=True)
                self.read = time.monotonic()
            return self.answer


class Handler(http.server.BaseHTTPRequestHandler):
    matches = Matches()

    def do_GET(self):
        path, _, query = self.path.partition('?')
        if path == '/api/matches':
            return self.send(200, 'application/json', self.matches.get(0.5 if query == 'cache=refresh' else 10))
        if path not in FILES:
            return self.send(404, 'text/plain', b'not found')
        file, kind = FILES[path]
        self.send(200, kind, file.read_text().replace('@BUS@', os.environ['BUS']).encode())

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-cache')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((os.environ['HOST'], int(os.environ['PORT'])), Handler).serve_forever()
