"""A match that plays itself: five a side, on a pitch of 100 by 60. It knows nothing of weir."""

import math
import random

MINUTES_PER_SECOND = 0.5
FULL_TIME = 90
# Where each of a side stands when nothing happens; the other side has it mirrored.
PLACES = [(6, 30), (24, 16), (24, 44), (40, 22), (40, 38)]


class Match:
    def __init__(self, home, away):
        self.home, self.away = home, away
        self.kick_off()

    def kick_off(self):
        self.score, self.minute, self.state = [0, 0], 0.0, 'playing'
        self.centre()

    def centre(self):
        angle = random.choice([0, math.pi]) + random.uniform(-0.6, 0.6)
        self.ball, self.speed = [50.0, 30.0], [18 * math.cos(angle), 18 * math.sin(angle)]
        self.players = [list(place) for place in PLACES] + [[100 - x, y] for x, y in PLACES]

    def goal(self, side):
        self.score[side] += 1
        self.centre()

    def advance(self, seconds):
        """Plays on for so long."""
        if self.state != 'playing':
            return
        self.minute += seconds * MINUTES_PER_SECOND
        if self.minute >= FULL_TIME:
            self.minute, self.state = FULL_TIME, 'ended'
        self.move_ball(seconds)
        for nth, player in enumerate(self.players):
            self.move_player(nth, player, seconds)

    def move_ball(self, seconds):
        for axis, end in ((0, 100), (1, 60)):
            self.ball[axis] += self.speed[axis] * seconds
            if 0 < self.ball[axis] < end:
                continue
            if axis == 0 and 22 < self.ball[1] < 38:
                return self.goal(0 if self.ball[0] >= end else 1)
            self.ball[axis] = min(max(self.ball[axis], 0.5), end - 0.5)
            self.speed[axis] *= -1

    def move_player(self, nth, player, seconds):
        x, y = PLACES[nth % 5]
        place = (x, y) if nth < 5 else (100 - x, y)
        # Keepers stay; the others go half of the way to the ball.
        pull = 0.12 if nth % 5 == 0 else 0.5
        to = [place[axis] + pull * (self.ball[axis] - place[axis]) - player[axis] for axis in (0, 1)]
        far = math.hypot(*to) or 1
        step = min(far, 9 * seconds)
        for axis in (0, 1):
            player[axis] += to[axis] / far * step
        if math.dist(player, self.ball) < 2.5:
            ahead = 0 if nth < 5 else math.pi
            angle = ahead + random.uniform(-1.1, 1.1)
            self.speed = [22 * math.cos(angle), 22 * math.sin(angle)]

    def shown(self):
        """What pages are told."""
        return {
            'home': self.home, 'away': self.away, 'score': self.score,
            'minute': int(self.minute), 'state': self.state,
            'ball': [round(at, 1) for at in self.ball],
            'players': [[round(at, 1) for at in player] for player in self.players],
        }
