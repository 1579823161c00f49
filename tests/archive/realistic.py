"""Headers as an archive has them: settings that go together, taken from what the rules themselves match."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from reprocess.archive.context import DATE, KEYWORDS, TIME

Setting = Mapping[str, str]

FIVE = ("FGS", "MIRI", "NIRCAM", "NIRISS", "NIRSPEC")
_ANYTHING = ("N/A", "ANY", "*", "UNDEFINED")
_GENERIC = {"GENERIC"}
_OFFSETS = ("", ".000", ".500", ".999", ".001")
_FIRST, _LAST = datetime(2014, 1, 1), datetime(2026, 12, 31)


class Instrument:
    """Settings that the rules of one instrument tell apart, and the dates on which their answers change."""

    def __init__(self, imap) -> None:
        self.name = imap.instrument.upper()
        self.settings: list[Setting] = []
        self.edges: list[str] = []
        self.types: list[str] = sorted(imap.get_filekinds())
        for kind in self.types:
            try:
                selector = imap.get_rmap(kind).selector.todict()
            except Exception:  # not applicable, or left out, for the whole type
                continue
            self._take(selector)
        self.edges = sorted(set(self.edges))
        self.values: dict[str, list[str]] = {}
        for setting in self.settings:
            for keyword, value in setting.items():
                self.values.setdefault(keyword, []).append(value)

    def _take(self, selector) -> None:
        for key, choice in selector["selections"]:
            values = key if isinstance(key, tuple) else (key,)
            if selector["parameters"] == ("USEAFTER",):
                self.edges.append(values[0])
                continue
            setting = {
                KEYWORDS[name]: value
                for name, value in zip(selector["parameters"], values, strict=False)
                if name in KEYWORDS and name not in (DATE, TIME) and value not in _ANYTHING
            }
            if setting:
                self.settings.append(setting)
            if isinstance(choice, Mapping):
                self._take(choice)


def headers(contexts, count: int, *, seed: int) -> Iterator[dict[str, object]]:
    """Make up primary headers for contexts as crds has loaded them; 30 % of the dates are on or at a USEAFTER edge."""
    chance = random.Random(seed)
    names = sorted({name for context in contexts for name in context.selections if name.upper() in FIVE})
    instruments = [[Instrument(context.get_imap(name)) for context in contexts] for name in names]
    for _ in range(count):
        yield header(chance.choice(chance.choice(instruments)), chance)


def header(instrument: Instrument, chance: random.Random) -> dict[str, object]:
    """Make up one header: a setting of one rule, completed by settings of others that do not contradict it."""
    words: dict[str, object] = {}
    for setting in chance.choices(instrument.settings, k=40):
        literal = {keyword: _one(value, chance) for keyword, value in setting.items()}
        if all(words.get(keyword, value) == value for keyword, value in literal.items()):
            words |= literal
    for keyword, values in instrument.values.items():
        if keyword not in words:
            words[keyword] = _one(chance.choice(values), chance)
    found = {keyword: _card(value) for keyword, value in words.items() if value is not None}
    if chance.random() < 0.05:  # a keyword that is absent is a case of its own
        del found[chance.choice(sorted(found))]
    day, time = _moment(instrument, chance)
    return found | {"INSTRUME": instrument.name, "DATE-OBS": day, "TIME-OBS": time}


def _one(value: str, chance: random.Random) -> str | None:
    """Choose a value that a pattern of a rule matches."""
    if value.startswith(("NOT ", "BETWEEN", "#", "(", "{")) or value in _GENERIC:
        return None
    return chance.choice(value.split("|")).replace("*", "1")


def _card(value: object) -> object:
    """Write a value as a header has it: a number or a truth value where it is one."""
    text = str(value)
    if text in ("T", "F", "TRUE", "FALSE"):
        return text.startswith("T")
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _moment(instrument: Instrument, chance: random.Random) -> tuple[str, str]:
    if instrument.edges and chance.random() < 0.3:
        edge = chance.choice(instrument.edges)
        near = datetime.fromisoformat(edge.partition(".")[0]) + timedelta(seconds=chance.choice((-1, 0, 0, 0, 1)))
        fraction = chance.choice((*_OFFSETS, *([f".{edge.partition('.')[2]}"] if "." in edge else [])))
        day, _, time = near.isoformat().partition("T")
        return day, time + fraction
    at = _FIRST + (_LAST - _FIRST) * chance.random()
    day, _, time = at.isoformat(timespec="milliseconds").partition("T")
    return day, time
