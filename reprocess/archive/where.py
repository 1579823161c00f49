"""The language that chooses exposures, for example ``INSTRUME = 'NIRCAM' and DATE-OBS >= '2024-01-01'``.

::

    expression = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation = [ "not" ] ( "(" expression ")" | comparison )
    comparison = name ( operator literal | [ "not" ] "in" "(" literal { "," literal } ")"
                      | [ "not" ] "like" text | "is" [ "not" ] "null" )
    operator = "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    literal = text | number | "true" | "false"

Names are header keywords as FITS writes them, columns of the catalogue, and what a judgement says. Texts stand in
single or double quotes, which are doubled inside; in ``like`` % stands for any characters and _ for one. A comparison
with a keyword that a header does not have is neither true nor false, as in SQL: ask for it with ``is null``. Words of
the language may be written in either case. Nothing is ever executed; `reprocess.archive.chosen` evaluates it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reprocess import errors
from reprocess.exposure import DETECTOR1, IMAGE2
from reprocess.formats import keywords

Literal = str | int | float | bool

CATALOGUE = ("dataset", "location", "key", "size", "etag", "error_class", "error")
"""Columns of the catalogue that can be asked for, beside keywords."""
PUBLISHED = ("version", "software", "context")
"""What is known of the version that we have published; null where there is none."""
JUDGED = ("verdict", "reason", "restart")
"""What only a judgement tells. A reason is its kind, or its kind with the type: ``reference``, ``reference: dark``. A
candidate has any number of them: a comparison is true if one fits, false if none does, neither if there is none."""
NAMES = frozenset((*CATALOGUE, *PUBLISHED, *JUDGED, *keywords.KEPT))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is asked of one name.

    Attributes
    ----------
    name : str
    operator : str
        ``=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``like`` or ``null``.
    values : tuple of str, int, float or bool
        All of one kind; empty for ``null``.
    position : int
        Where it begins in the text, from 1.
    """

    name: str
    operator: str
    values: tuple[Literal, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Not:
    """True where the other is false."""

    of: Expression


@dataclass(frozen=True, slots=True)
class And:
    """True where all are."""

    of: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where one is."""

    of: tuple[Expression, ...]


Expression = Comparison | Not | And | Or
EVERYTHING = And(())

_STATES = ("current", "missing", "stale", "stale-in-name-only", "unknown")
_KINDS = ("parameter", "product-damaged", "product-missing", "raw-changed", "reference", "software", "undecidable")
_WORDS = {"verdict": _STATES, "restart": (DETECTOR1, IMAGE2), "reason": _KINDS}
"""Values that there are of what only a judgement tells."""

_DEEPEST = 50
_KEYWORDS = frozenset(("and", "or", "not", "in", "like", "is", "null", "true", "false"))
_SIGNS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_.]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*)
    |(?P<sign><=|>=|<>|!=|==|[=<>(),]))""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int

    @property
    def said(self) -> str:
        return self.text if self.kind != "end" else "the end"


def parse(text: str) -> Expression:
    """Read an expression.

    Raises
    ------
    UsageError
        It does not follow the grammar, or uses a name that does not exist; position and what was expected are named.
    """
    return _Parser(list(_tokens(text))).whole()


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """Yield all comparisons, from left to right."""
    if isinstance(expression, Comparison):
        yield expression
    else:
        for part in (expression.of,) if isinstance(expression, Not) else expression.of:
            yield from comparisons(part)


def _tokens(text: str) -> Iterator[_Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            raise _wrong(start + 1, "a name, a value or a sign", _unreadable(text[start:]))
        kind = found.lastgroup
        yield _Token(kind, found[kind], found.start(kind) + 1)
        place = found.end()
    yield _Token("end", "", end + 1)


def _unreadable(rest: str) -> str:
    if rest[0] in "'\"":
        return f"a text that is not closed by {rest[0]}"
    return ascii(rest[:12])[1:-1]


def _wrong(position: int, expected: str, found: str) -> errors.UsageError:
    return errors.UsageError(f"--where, position {position}: expected {expected}, found {found}. Mend it there.")


class _Parser:
    """One token after the other; each method reads one rule of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def whole(self) -> Expression:
        found = self._disjunction()
        if self._next.kind != "end":
            raise self._expected("`and`, `or` or the end")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _skip(self, *words: str) -> bool:
        """Take the next token if it is one of some words or signs."""
        token = self._next
        given = token.text.lower() if token.kind == "word" else token.text if token.kind == "sign" else ""
        if given in words:
            self._place += 1
            return True
        return False

    def _expected(self, what: str) -> errors.UsageError:
        return _wrong(self._next.position, what, self._next.said)

    def _disjunction(self) -> Expression:
        parts = [self._conjunction()]
        while self._skip("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Expression:
        parts = [self._negation()]
        while self._skip("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self) -> Expression:
        turned = False
        while self._skip("not"):
            turned = not turned
        found = self._group() if self._skip("(") else self._comparison()
        return Not(found) if turned else found

    def _group(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._expected(f"no more than {_DEEPEST} parentheses in one another")
        found = self._disjunction()
        if not self._skip(")"):
            raise self._expected("`and`, `or` or `)`")
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        token = self._next
        if token.kind != "word" or token.text.lower() in _KEYWORDS:
            raise self._expected("a name, `not` or `(`")
        self._take()
        name, position = _known(token), token.position
        if self._next.kind == "sign" and self._next.text in _SIGNS:
            return self._relation(name, position)
        if self._skip("is"):
            turned = self._skip("not")
            if not self._skip("null"):
                raise self._expected("`null`" if turned else "`null` or `not null`")
            return _turned(Comparison(name, "null", (), position), turned)
        turned = self._skip("not")
        if self._skip("in"):
            return _turned(Comparison(name, "in", self._list(), position), turned)
        if self._skip("like"):
            return _turned(Comparison(name, "like", (self._pattern(),), position), turned)
        more = "in or like" if turned else "=, !=, <, <=, >, >=, in, like, is or not"
        raise self._expected(f"{more} after {token.text}")

    def _relation(self, name: str, position: int) -> Expression:
        operator = _SIGNS[self._take().text]
        place = self._next
        value = self._literal()
        if isinstance(value, bool) and operator not in ("=", "!="):
            raise _wrong(place.position, f"a text or a number after {operator}", place.text)
        turned = operator == "!="
        return _turned(Comparison(name, "=" if turned else operator, (value,), position), turned)

    def _list(self) -> tuple[Literal, ...]:
        if not self._skip("("):
            raise self._expected("`(`")
        values: list[Literal] = []
        while not values or self._skip(","):
            place = self._next
            values.append(self._literal())
            if kind_of(values[-1]) != kind_of(values[0]):
                raise _wrong(place.position, f"a {kind_of(values[0])}, as before", place.text)
        if not self._skip(")"):
            raise self._expected("`,` or `)`")
        return tuple(values)

    def _pattern(self) -> str:
        if self._next.kind != "text":
            raise self._expected("a pattern in quotes")
        return _unquoted(self._take().text)

    def _literal(self) -> Literal:
        token = self._next
        if token.kind == "text":
            return _unquoted(self._take().text)
        if token.kind == "number":
            return _number(self._take().text)
        if self._skip("true"):
            return True
        if self._skip("false"):
            return False
        raise self._expected("a text in quotes, a number, true or false")


def check_words(comparison: Comparison) -> None:
    """Refuse a verdict, a reason or a place to begin that no judgement can tell.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    known = _WORDS.get(comparison.name, ()) if comparison.operator in ("=", "in") else ()
    for value in comparison.values if known else ():
        # A reason may be followed by the type of the reference file.
        kind, colon, rest = str(value).partition(": ") if comparison.name == "reason" else (value, "", "")
        if isinstance(value, str) and (kind not in known or (colon and not rest)):
            more = ", or one with the type of its file as in 'reference: dark'" if comparison.name == "reason" else ""
            raise errors.UsageError(
                f"--where, position {comparison.position}: {comparison.name} is never {value!r}. "
                f"It is {', '.join(known)}{more}."
            )


def kind_of(value: Literal) -> str:
    """Say what a value is: ``text``, ``number`` or ``truth value``."""
    if isinstance(value, bool):
        return "truth value"
    return "text" if isinstance(value, str) else "number"


def _turned(comparison: Comparison, turned: bool) -> Expression:
    return Not(comparison) if turned else comparison


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)


def _known(token: _Token) -> str:
    """Return the name that a word means: as it is written, else in the only other case that exists."""
    word = token.text
    if word in NAMES:
        return word
    same = [name for name in NAMES if name.lower() == word.lower()]
    if len(same) == 1:
        return same[0]
    by_case = {name.lower(): name for name in sorted(NAMES)}
    near = [by_case[one] for one in difflib.get_close_matches(word.lower(), by_case, 4, 0.6)]
    meant = f"Did you mean {', '.join(same or near)}?" if same or near else "Names are FITS keywords and columns."
    if word[:2].upper() in keywords.KEPT_PREFIXES:
        meant = "It is a keyword of products; `reprocess find --reference NAME` looks there."
    raise errors.UsageError(f"--where, position {token.position}: there is no {word!r} in the catalogue. {meant}")
