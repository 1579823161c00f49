"""What rules have answered, kept in the archive: a question that was asked once is not asked again, by nobody.

A rule never changes under its name and checksum, so an answer is valid for ever. Each rule has one object, which
planners that work at the same time merge by compare-and-swap. What is kept only saves time: an object that is damaged
or that another version of `crds` wrote is left aside and written anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reprocess import errors
from reprocess.archive.context import Answer, Context, Question, Refused, Rule
from reprocess.formats import records
from reprocess.storage.store import Store

PREFIX = "catalogue/answers/"
KIND, SCHEMA = "answers", 1

_LOG = logging.getLogger(__name__)
_CONCURRENCY = 16
_ATTEMPTS = 8
_MET = (errors.AlreadyExists, errors.PreconditionFailed, errors.CommitConflict, errors.ObjectMissing)


def key(rule: Rule) -> str:
    """Key of what a rule has answered, below the archive root; two rules of one name have two."""
    return f"{PREFIX}{rule.name}-{rule.checksum[:16]}.json"


def recall(store: Store, context: Context) -> None:
    """Have a context know what its rules have answered earlier, one listing and one read for each rule."""
    rules = {key(rule): rule for rule in context.rules()}
    there = [stamp.key for stamp in store.list(PREFIX) if stamp.key in rules]
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        for place, (known, _) in zip(there, pool.map(lambda each: _read(store, rules[each]), there), strict=True):
            context.recall(rules[place], known)


def keep(store: Store, context: Context) -> None:
    """Keep what a context has learned since; when the store does not take it, that is no harm."""
    rules = {rule.name: rule for rule in context.rules()}
    news = {name: answers for name, answers in context.learned.items() if name in rules}
    context.learned = {}
    try:
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            list(pool.map(lambda name: _merge(store, rules[name], news[name]), news))
    except errors.StorageError as error:
        _LOG.warning("Answers of rules are not kept, so they will be asked again: %s", error)


def _merge(store: Store, rule: Rule, new: Mapping[Question, Answer]) -> None:
    for _ in range(_ATTEMPTS):
        known, etag = _read(store, rule)
        if etag and not set(new) - set(known):
            return
        data = _dumps(rule, {**known, **new})
        try:
            if etag:
                store.compare_and_swap(key(rule), data, etag=etag)
            else:
                store.put_if_absent(key(rule), data, content_type="application/json")
        except _MET:
            continue  # another planner was faster: what it knows comes in
        return
    _LOG.warning("%s changes too often; what is new is not kept, and will be asked again.", key(rule))


def _read(store: Store, rule: Rule) -> tuple[dict[Question, Answer], str]:
    """Return what a rule has answered, and the version of the object; empty where there is none."""
    try:
        blob = store.get(key(rule))
    except errors.ObjectMissing:
        return {}, ""
    try:
        return _loads(blob.data, rule), blob.stamp.etag
    except (errors.DamagedRecord, KeyError, TypeError, ValueError) as error:
        _LOG.warning("%s/%s is damaged (%s); it is left aside and made anew.", store.url, key(rule), error)
        return {}, blob.stamp.etag


def _identity(rule: Rule) -> dict[str, Any]:
    """Return what answers hold for: the rule, how its questions are put, and who answers them."""
    return {
        "rule": rule.name,
        "checksum": rule.checksum,
        "parameters": list(rule.parameters),
        "edges": list(rule.edges),
        "crds": importlib.metadata.version("crds"),
    }


def _dumps(rule: Rule, answers: Mapping[Question, Answer]) -> bytes:
    rows = [[period, list(values), _told(answers[period, values])] for period, values in sorted(answers)]
    return records.dumps(KIND, SCHEMA, {**_identity(rule), "answers": rows, "digest": _digest(rows)})


def _told(answer: Answer) -> str | dict[str, str] | None:
    return {"refused": answer.text} if isinstance(answer, Refused) else answer


def _loads(data: bytes, rule: Rule) -> dict[Question, Answer]:
    record = records.loads(data, KIND, name=key(rule), schemas=(SCHEMA,))
    if {name: record.get(name) for name in _identity(rule)} != _identity(rule):
        return {}  # of another version of crds, or of this package
    if record["digest"] != _digest(record["answers"]):
        raise ValueError("its answers do not have the digest that it claims")
    return {
        (int(period), tuple(map(str, values))): Refused(str(answer["refused"])) if isinstance(answer, dict) else answer
        for period, values, answer in record["answers"]
    }


def _digest(rows: object) -> str:
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
