"""Weather between the product and its S3 server: which request meets which fault, and where somebody is killed.

The server that does it is `tests.storage.faulty_server`. Faults are seeded: the n-th request of a method and path has
the same fate whatever else there is. Nothing is ever changed without the client being able to notice.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.points import Strike, described, due
from tests.storage.faulty_server import (
    CUT_THE_ANSWER,
    DROP_THE_REQUEST,
    FAIL_AFTERWARDS,
    LOSE_THE_ANSWER,
    PASS_ON,
    TEAR_THE_REQUEST,
    Answer,
)

SLOW_DOWN, FAIL = (503, "SlowDown"), (500, "InternalError")
_BODIES = ("PUT", "POST")


@dataclass(frozen=True)
class Weather:
    """How likely each fault is, between 0 and 1; a request meets at most one, and may be slow besides."""

    name: str = "calm"
    drop: float = 0.0
    lose: float = 0.0
    slow_down: float = 0.0
    fail: float = 0.0
    fail_afterwards: float = 0.0
    cut: float = 0.0
    tear: float = 0.0
    slow: float = 0.0
    slow_s: float = 0.3

    def fault(self, method: str, dice: random.Random) -> Answer:
        """Draw the fate of a request."""
        mark = dice.random()
        for chance, answer in (
            (self.drop, DROP_THE_REQUEST),
            (self.lose, LOSE_THE_ANSWER),
            (self.slow_down, SLOW_DOWN),
            (self.fail, FAIL),
            (self.fail_afterwards, FAIL_AFTERWARDS),
            (self.cut if method == "GET" else 0.0, CUT_THE_ANSWER),
            (self.tear if method in _BODIES else 0.0, TEAR_THE_REQUEST),
        ):
            mark -= chance
            if mark < 0:
                return answer
        return PASS_ON


WEATHERS = (
    Weather("calm"),
    Weather("lossy", drop=0.01, lose=0.02),
    Weather("throttled", slow_down=0.05, fail=0.01, fail_afterwards=0.01),
    Weather("torn", cut=0.02, tear=0.02, lose=0.01),
    Weather("everything", 0.005, 0.01, 0.02, 0.005, 0.005, 0.01, 0.01, slow=0.05),
)


class Storm:
    """Decides for each request of one seed, and keeps account.

    Parameters
    ----------
    seed : int
    weather : Weather
    waiting : list of Strike
    root : str
        ``/bucket/prefix/`` of the archive.
    strike : callable
        Called with a `Strike` and the port that the request came from; returns whether the sender was killed.
    log : Path
        One JSON line for each fault and strike.
    """

    def __init__(
        self,
        seed: int,
        weather: Weather,
        waiting: list[Strike],
        *,
        root: str,
        strike: Callable[[Strike, int], bool],
        log: Path,
    ) -> None:
        self.seed, self.weather, self.waiting, self.root, self._strike = seed, weather, waiting, root, strike
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.struck: list[str] = []
        self.caller = threading.local()
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._log = log.open("a", buffering=1)
        self._begin = time.monotonic()

    def decide(self, method: str, path: str, _: int) -> Answer:
        """Say what is to become of a request."""
        name = f"{method} {re.sub('uploadId=[^&]*', 'uploadId=', path)}"
        with self._lock:
            self.requests += 1
            self._seen[name] += 1
            dice = random.Random(f"{self.seed} {name} {self._seen[name]}")
        if self._kill(method, path, after=False):
            return DROP_THE_REQUEST
        if dice.random() < self.weather.slow:
            self._count("slow", method, path)
            time.sleep(dice.uniform(0, self.weather.slow_s))
        answer = self.weather.fault(method, dice)
        if answer != PASS_ON:
            self._count(answer if isinstance(answer, str) else f"{answer[0]} {answer[1]}", method, path)
        return answer

    def heard(self, method: str, path: str, status: int) -> bool:
        """Take note that the server has answered; true if nobody is to hear of it."""
        return self._kill(method, path, after=True)

    def _kill(self, method: str, path: str, *, after: bool) -> bool:
        with self._lock:
            strikes = due(self.waiting, described(method, path, self.root), after=after)
            self.struck += [strike.name for strike in strikes]
        for strike in strikes:
            self._note(strike=strike.name, victim=strike.victim, method=method, path=path)
        killed = [self._strike(strike, self.caller.port) for strike in strikes]
        return any(killed)

    def _count(self, fault: str, method: str, path: str) -> None:
        with self._lock:
            self.faults[fault] += 1
        self._note(fault=fault, method=method, path=path)

    def _note(self, **words: str) -> None:
        self._log.write(json.dumps({"seconds": round(time.monotonic() - self._begin, 3), **words}) + "\n")
