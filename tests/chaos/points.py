"""The named points of the publication protocol, as they are seen from outside: by the request that is made there.

Each point is struck at two moments: before the server has seen the request, and after it has answered and before the
client knows. Who is killed there is whoever sent the request.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Point:
    """One kind of request.

    Attributes
    ----------
    name : str
    pattern : str
        Of the method, the key below the archive's root, and the query if there is one.
    each : float
        How many there are for each unit; 0 for one or two in a whole campaign.
    """

    name: str
    pattern: str
    each: float = 0.0


POINTS = (
    Point("plan read", r"GET campaigns/[^/]+/plan"),
    Point("lease read", r"GET campaigns/[^/]+/lease\.json"),
    Point("lease written", r"PUT campaigns/[^/]+/lease\.json"),
    Point("epoch begun", r"PUT campaigns/[^/]+/outcomes/\d+-0+\.json"),
    Point("outcomes read", r"GET campaigns/[^/]+/outcomes/"),
    Point("outcomes listed", r"GET \?.*prefix=[^&]*outcomes"),
    Point("outcomes written", r"PUT campaigns/[^/]+/outcomes/\d+-\d*[1-9]\d*\.json"),
    Point("array prepared", r"PUT references/prepared/", 0.1),
    Point("reference ready", r"PUT references/ready/", 0.02),
    Point("facts written", r"PUT staging/.*/facts\.npz", 0.04),
    Point("array staged", r"PUT staging/.*/c/", 0.4),
    Point("slab staged", r"PUT staging/.*/slab\.json", 0.08),
    Point("staging cleared", r"DELETE staging/", 0.4),
    Point("upload begun", r"POST products/.*\?uploads"),
    Point("part uploaded", r"PUT products/.*\?.*partNumber="),
    Point("upload completed", r"POST products/.*\?.*uploadId="),
    Point("file written", r"PUT products/(?!.*manifest\.json)[^?]*$", 4.0),
    Point("manifest written", r"PUT products/.*/manifest\.json", 1.0),
    Point("manifest read", r"GET products/.*/manifest\.json", 1.0),
    Point("pointer read", r"GET pointers/", 1.0),
    Point("pointer written", r"PUT pointers/", 1.0),
    Point("report written", r"PUT campaigns/[^/]+/report"),
)
MOMENTS = tuple((point, after) for point in POINTS for after in (False, True))


@dataclass
class Strike:
    """A kill that is to be made at the n-th request of a kind.

    Attributes
    ----------
    name : str
    pattern : str
    number : int
        How many more of these requests are to come, this one included; 0 when it has struck.
    after : bool
    victim : str
        ``sender``, ``worker``, ``scheduler``, ``coordinator`` or ``all``; or ``intruder``, which kills nobody and
        starts a second coordinator.
    """

    name: str
    pattern: str
    number: int
    after: bool
    victim: str


def strikes(seed: int, units: int, *, named: int, anywhere: int) -> list[Strike]:
    """Choose when a seed kills whom: `named` moments, in turn over the seeds, and some anywhere."""
    dice = random.Random(f"strikes {seed}")
    chosen = [MOMENTS[(seed * named + turn) % len(MOMENTS)] for turn in range(named)]
    made = []
    for point, after in chosen:
        number = dice.randint(1, max(1, int(0.6 * point.each * units)))
        victim = dice.choices(("sender", "scheduler", "all"), (70, 15, 15))[0]
        made.append(Strike(f"{point.name}, {'after' if after else 'before'}", point.pattern, number, after, victim))
    for _ in range(anywhere):
        victim = dice.choice(("worker", "worker", "coordinator", "scheduler", "all"))
        made.append(Strike("anywhere", "", dice.randint(50, 50 + 14 * units), dice.random() < 0.5, victim))
    made.append(Strike("intruder", r"PUT pointers/", dice.randint(1, max(1, units // 2)), True, "intruder"))
    return made


def described(method: str, path: str, root: str) -> str:
    """Write a request as the patterns see it: keys below `root`, which is ``/bucket/prefix/``."""
    place, _, query = path.partition("?")
    key = unquote(place)
    if key.startswith(root):
        key = key[len(root) :]
    elif key.strip("/") == root.split("/")[1]:
        key = ""  # the bucket itself: a listing
    return f"{method} {key}?{unquote(query)}" if query else f"{method} {key}"


def due(waiting: list[Strike], request: str, *, after: bool) -> list[Strike]:
    """Count a request for those that wait for it, and return those whose time has come."""
    struck = []
    for strike in waiting:
        if strike.number and strike.after == after and re.match(strike.pattern, request):
            strike.number -= 1
            if not strike.number:
                struck.append(strike)
    return struck
