"""A room: its match, who hosts it, and the posts by which everybody sees it."""

import http.client
import json
import secrets
import threading
import time
import urllib.parse

from match import Match

PERIOD = 0.25
# Between the end of a match that nobody hosts and the next.
BREAK = 20


class Room(threading.Thread):
    def __init__(self, name, teams, weir, token):
        super().__init__(daemon=True, name=name)
        self.match = Match(*teams)
        self.weir, self.token = weir, token
        self.path = f'/v1/sessions/{urllib.parse.quote("match/" + name, safe="")}/events'
        self.lock = threading.Lock()
        self.changed = threading.Event()
        self.host, self.key = None, None
        self.posted = 0
        self.connection = None

    def take_over(self, name):
        """Whoever hosted before does not any more. The key is the new host's alone."""
        with self.lock:
            self.host, self.key = name, secrets.token_urlsafe()
        self.changed.set()
        return self.key

    def act(self, key, action):
        """Does what the host wants; False where somebody else has taken over."""
        actions = {
            'pause': lambda: setattr(self.match, 'state', 'paused'),
            'resume': lambda: setattr(self.match, 'state', 'playing'),
            'home': lambda: self.match.goal(0),
            'away': lambda: self.match.goal(1),
            'kick-off': self.match.kick_off,
        }
        with self.lock:
            if self.key is None or not secrets.compare_digest(str(key), self.key):
                return False
            actions[action]()
        self.changed.set()
        return True

    def run(self):
        last = time.monotonic()
        while True:
            with self.lock:
                now = time.monotonic()
                self.match.advance(min(now - last, 1))
                last = now
                still = self.match.state != 'playing'
                self.changed.clear()
                state = {**self.match.shown(), 'host': self.host, 'n': self.posted + 1, 'at': round(time.time() * 1000)}
            # The snapshot lives for as long as it may be the newest: a match that stands still posts nothing.
            if not self.post(state, 7200 if still else 60):
                self.changed.wait(1)
            elif not still:
                self.changed.wait(PERIOD)
            elif state['state'] == 'ended' and self.host is None:
                if not self.changed.wait(BREAK):
                    with self.lock:
                        self.match.kick_off()
            else:
                # By the time that something changes weir has closed what is idle.
                self.close()
                self.changed.wait()
                last = time.monotonic()

    def post(self, state, snapshot):
        """One POST. While weir is away states are lost, which is right for a game: only the newest counts."""
        try:
            self.connection = self.connection or http.client.HTTPConnection(self.weir, timeout=2)
            headers = {'Authorization': f'Bearer {self.token}', 'Content-Type': 'application/json'}
            self.connection.request('POST', f'{self.path}?snapshot={snapshot}', json.dumps(state, separators=(',', ':')), headers)
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.status != 201:
                raise OSError(f'{answer.status} {body.decode()}')
            self.posted = state['n']
            return True
        except (OSError, http.client.HTTPException) as error:
            self.close()
            print(f'{self.name}: not posted: {error!r}', flush=True)
            return False

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None
