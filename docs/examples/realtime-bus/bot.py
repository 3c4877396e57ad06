#!/usr/bin/env python3
"""A bot that plays the matches: a foreign producer, which knows Redis and the shape of an entry, and has never heard of weir."""

import datetime
import json
import random
import time

from plain_redis import Redis

TEAMS = [('Rovers', 'United'), ('Albion', 'Wanderers'), ('Athletic', 'Rangers'), ('Thistle', 'County'), ('Orient', 'Argyle'), ('Vale', 'Harriers')]
PERIOD = 0.4


def kick_off(nth):
    return {'id': f'match-{nth}', 'home': TEAMS[nth][0], 'away': TEAMS[nth][1], 'score': [0, 0], 'minute': 0, 'updated': 0}


def play(match):
    match['minute'] += 1
    if match['minute'] > 90:
        match.update(score=[0, 0], minute=0)
    if random.random() < 0.06:
        match['score'][random.randrange(2)] += 1


def main():
    redis, matches, n = Redis(), [kick_off(nth) for nth in range(len(TEAMS))], 0
    while True:
        match = matches[n % len(matches)]
        play(match)
        n += 1
        now = datetime.datetime.now(datetime.timezone.utc)
        match.update(updated=round(now.timestamp() * 1000), n=n)
        write(redis, match, now)
        time.sleep(PERIOD)


def write(redis, match, now):
    """The state first, so that whoever hears of it finds it. Until Redis takes both, nothing else happens."""
    payload = json.dumps(match)
    while True:
        try:
            redis.call('HSET', 'matches', match['id'], payload)
            redis.call('XADD', 'app:events', '*', 'event', 'match.updated', 'payload', payload, 'timestamp', now.isoformat())
            return
        except OSError as error:
            print(f'bot: {error}', flush=True)
            time.sleep(1)


main()
