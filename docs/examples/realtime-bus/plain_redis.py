"""Commands to Redis over a plain socket, so that this example needs no packages. Take redis-py in an application of yours."""

import os
import socket

HOST, PORT = os.environ['REDIS_HOST'], int(os.environ['REDIS_PORT'])


class Redis:
    def __init__(self):
        self.socket = None

    def call(self, *words):
        """Sends one command and gives its answer. After an error the next call connects anew."""
        try:
            if self.socket is None:
                self.socket = socket.create_connection((HOST, PORT), timeout=3)
                self.answers = self.socket.makefile('rb')
            words = [str(word).encode() for word in words]
            self.socket.sendall(b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%s\r\n' % (len(word), word) for word in words))
            return self.read()
        except OSError:
            self.close()
            raise

    def read(self):
        line = self.answers.readline()
        if not line.endswith(b'\r\n'):
            raise ConnectionError('Redis is gone')
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b'-':
            raise ConnectionError(rest)
        if kind == b'$':
            return None if rest == '-1' else self.answers.read(int(rest) + 2)[:-2].decode()
        if kind == b'*':
            return [self.read() for _ in range(int(rest))]
        return rest

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
