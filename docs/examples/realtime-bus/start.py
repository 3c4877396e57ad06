#!/usr/bin/env python3
"""Usage: python3 start.py
Starts Redis, two instances of weir, HAProxy with the configuration of deploy/, and the application: its API, a bot, an analytics job.
Type `stop NAME…` (as an orchestrator does), `kill NAME…`, `start NAME…` or `quit`, with NAME of redis, weir-1, weir-2, balancer, api,
bot, analytics. HOST and PORT say where the page is; the others listen on ports behind it. DATA is where Redis keeps what it has."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
HOST, PORT = os.environ.get('HOST', '127.0.0.1'), int(os.environ.get('PORT', 4000))
# Whoever reaches Redis may do anything there, so this machine alone does, wherever the page and the balancer are.
INSIDE = HOST if HOST.startswith('127.') else '127.0.0.1'
DATA = pathlib.Path(os.environ.get('DATA', HERE / 'data')).resolve()
BALANCER, REDIS, WEIR, ADMIN = PORT + 1, PORT + 2, (PORT + 3, PORT + 4), (PORT + 5, PORT + 6)
# Servers stand where only root has them in the path.
PATH = os.environ['PATH'] + ':/usr/sbin:/usr/local/sbin'
ENV = {**os.environ, 'PATH': PATH, 'HOST': HOST, 'PORT': str(PORT), 'REDIS_HOST': INSIDE, 'REDIS_PORT': str(REDIS), 'BUS': f'http://{HOST}:{BALANCER}'}


def weir(nth):
    return ['weir', 'serve', '--config', HERE / 'weir.toml', '--instance', f'weir-{nth + 1}', '--redis', f'redis://{INSIDE}:{REDIS}',
            '--listen', f'{INSIDE}:{WEIR[nth]}', '--admin-listen', f'{INSIDE}:{ADMIN[nth]}', '--cors-origin', f'http://{HOST}:{PORT}']


# In the order in which they are started. What is written to Redis stands in a file before it is answered for.
COMMANDS = {
    'redis': ['redis-server', '--bind', INSIDE, '--port', str(REDIS), '--dir', DATA, '--appendonly', 'yes', '--loglevel', 'warning'],
    'weir-1': weir(0),
    'weir-2': weir(1),
    'balancer': ['haproxy', '-db', '-f', DATA / 'haproxy.cfg'],
    'api': [sys.executable, HERE / 'api.py'],
    'bot': [sys.executable, HERE / 'bot.py'],
    'analytics': ['sh', HERE / 'analytics.sh'],
}
LISTENS = {'redis': (INSIDE, REDIS), 'weir-1': (INSIDE, WEIR[0]), 'weir-2': (INSIDE, WEIR[1]), 'balancer': (HOST, BALANCER), 'api': (HOST, PORT)}
running = {}


def configure_balancer():
    """That of deploy/, with its addresses filled in."""
    config = (HERE / '../../../deploy/haproxy/haproxy.cfg').read_text()
    config = config.replace('bind :80\n', f'bind {HOST}:{BALANCER}\n')
    for nth, port in enumerate(WEIR, 1):
        config = config.replace(f'weir-{nth}:8080', f'{INSIDE}:{port}')
    (DATA / 'haproxy.cfg').write_text(re.sub(r'\n    server weir-3 .*', '', config))


def check():
    """What is missing, or is taken by others, is told before anything is started."""
    for command in COMMANDS.values():
        if not shutil.which(command[0], path=PATH):
            how = ': in the clone of weir, cargo install --path crates/weir --locked puts it there' if command[0] == 'weir' else ''
            sys.exit(f'{command[0]} is not in the path{how}')
    for host, port in [*LISTENS.values(), *((INSIDE, port) for port in ADMIN)]:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            sys.exit(f'nothing can listen on {host}:{port}: {error.strerror}; PORT says where else')


def deaf():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start(name):
    if name in running and running[name].poll() is None:
        return print(f'{name} runs already', flush=True)
    # Ctrl-C is for this program, which ends the others; those that do not care are not to complain of it.
    running[name] = subprocess.Popen(COMMANDS[name], env=ENV, stdin=subprocess.DEVNULL, preexec_fn=deaf)
    for _ in range(100 if name in LISTENS else 0):
        try:
            socket.create_connection(LISTENS[name], timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    print(f'{name} is started, process {running[name].pid}', flush=True)


def end(names, how):
    for name in names:
        running[name].send_signal(how)
    for name in names:
        print(f'{name} ended: {running[name].wait()}', flush=True)


def obey(line):
    verb, *names = line.split() or ['']
    if verb not in ('stop', 'kill', 'start') or not names or not set(names) <= set(COMMANDS):
        return print(f'stop|kill|start {" ".join(COMMANDS)}, or quit', flush=True)
    if verb == 'start':
        for name in names:
            start(name)
    else:
        end(names, signal.SIGTERM if verb == 'stop' else signal.SIGKILL)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    check()
    DATA.mkdir(parents=True, exist_ok=True)
    configure_balancer()
    try:
        for name in COMMANDS:
            start(name)
        print(f'the page is at http://{HOST}:{PORT}, the bus at http://{HOST}:{BALANCER}', flush=True)
        for line in sys.stdin:
            if line.strip() == 'quit':
                return
            obey(line)
        # Without anybody who could type, as in a service.
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        left = [name for name in reversed(running) if running[name].poll() is None]
        end([name for name in left if name != 'redis'], signal.SIGTERM)
        end([name for name in left if name == 'redis'], signal.SIGTERM)


main()
