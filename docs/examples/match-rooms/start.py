#!/usr/bin/env python3
"""Usage: python3 start.py
Starts weir, plays the matches, and serves the page. HOST and PORT say where the page is; weir listens on the next port, and its
admin listener on the one after. WEIR_URL is how pages reach weir, where that is through a proxy. DATA is what outlives it."""

import http.server
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from room import Room

HERE = pathlib.Path(__file__).parent
HOST, PORT = os.environ.get('HOST', '127.0.0.1'), int(os.environ.get('PORT', 4000))
PAGE, WEIR, ADMIN = f'http://{HOST}:{PORT}', f'{HOST}:{PORT + 1}', f'{HOST}:{PORT + 2}'
WEIR_URL = os.environ.pop('WEIR_URL', f'http://{WEIR}')
DATA = pathlib.Path(os.environ.get('DATA', HERE / 'data'))
SECRET = DATA / 'secret'
# What changes slowly may stay on polling: the page asks for this every 15 s.
NAMES = {
    'north': ('North Stand', ['Rovers', 'United']),
    'harbour': ('Harbour Park', ['Albion', 'Wanderers']),
    'mill': ('Mill Lane', ['Athletic', 'Rangers']),
}
FILES = {'/': ('index.html', 'text/html'), '/page.js': ('page.js', 'text/javascript'), '/pitch.js': ('pitch.js', 'text/javascript')}
ending, children = threading.Event(), []


def serve_weir():
    """Runs weir, and again where it was killed. Where it ends by itself, as by a bad setting, everything ends."""
    command = ['weir', 'serve', '--config', HERE / 'weir.toml', '--listen', WEIR, '--admin-listen', ADMIN,
               '--cors-origin', PAGE, '--data-dir', DATA, '--jwt-secret-file', SECRET]
    while not ending.is_set():
        process = subprocess.Popen(command)
        children[:] = [process]
        status = process.wait()
        if ending.is_set():
            return
        if status >= 0:
            os._exit(status)
        print(f'weir ended by signal {-status}, and is started again', flush=True)
        time.sleep(1)


def await_weir():
    for _ in range(100):
        try:
            return socket.create_connection((HOST, PORT + 1)).close()
        except OSError:
            time.sleep(0.1)
    sys.exit('weir does not listen')


def mint():
    """A token that may post states, and nothing else. docs/auth.md says how a host of your own makes its."""
    command = ['weir', 'token', 'mint', '--jwt-secret-file', SECRET, '--sub', 'host', '--publish', 'match/*', '--expires-in', '7d']
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Page(http.server.BaseHTTPRequestHandler):
    rooms = {}

    def do_GET(self):
        path = self.path.split('?')[0]
        if path == '/api/rooms':
            return self.answer(200, [{'id': name, 'name': NAMES[name][0]} for name in self.rooms])
        if path not in FILES:
            return self.answer(404, {'error': 'not found'})
        file, kind = FILES[path]
        self.send(200, kind, (HERE / file).read_text().replace('@WEIR@', WEIR_URL).encode())

    def do_POST(self):
        # Pages of other origins cannot send this unasked.
        if self.headers.get('Content-Type') != 'application/json':
            return self.answer(415, {'error': 'a body is application/json'})
        try:
            _, _, _, name, what = self.path.split('/')
            room = self.rooms[name]
            # A length below zero would read on until the end, which need not come.
            length = max(0, min(int(self.headers.get('Content-Length', 0)), 4096))
            order = json.loads(self.rfile.read(length))
            if what == 'host':
                return self.answer(200, {'key': room.take_over(str(order['name'])[:30])})
            if not room.act(order['key'], order['action']):
                return self.answer(409, {'error': 'somebody else hosts this room now'})
            self.answer(200, {})
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            self.answer(400, {'error': repr(error)})

    def answer(self, status, value):
        self.send(status, 'application/json', json.dumps(value).encode())

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header('Content-Type', f'{kind}; charset=utf-8')
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-cache')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not shutil.which('weir'):
        sys.exit('weir is not in the path: in the clone of weir, cargo install --path crates/weir --locked puts it there')
    try:
        server = http.server.ThreadingHTTPServer((HOST, PORT), Page)
    except OSError as error:
        sys.exit(f'no page at {PAGE}: {error.strerror}; PORT says where else')
    DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not SECRET.exists():
        SECRET.touch(mode=0o600)
        SECRET.write_text(secrets.token_hex(32))
    token = mint()
    threading.Thread(target=serve_weir, daemon=True).start()
    await_weir()
    for name, (_, teams) in NAMES.items():
        Page.rooms[name] = Room(name, teams, WEIR, token)
        Page.rooms[name].start()
    print(f'the rooms are at {PAGE}', flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        ending.set()
        for process in children:
            process.terminate()
            process.wait()


main()
