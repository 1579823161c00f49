"""Reference selection: a CRDS context and the best references that its rules give.

`crds` interprets the rules; it is imported only here, only when a context is loaded, and it never uses the network.
What is added is that each distinct question is asked once. Names of rules are immutable, so an answer depends on the
rule's name, the values that the rule matches, and on which side of the rule's USEAFTER dates the exposure lies. What
is answered once can be kept (`reprocess.archive.answers`).
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprocess import errors
from reprocess.archive.mappings import Copied, copy_mappings
from reprocess.exposure import Header
from reprocess.storage.store import Store

DATE, TIME = "META.OBSERVATION.DATE", "META.OBSERVATION.TIME"
# What rules call a parameter, and the keyword that holds it (core schema of the JWST data models).
KEYWORDS: Mapping[str, str] = {
    "META.INSTRUMENT.NAME": "INSTRUME",
    "META.INSTRUMENT.DETECTOR": "DETECTOR",
    "META.INSTRUMENT.MODULE": "MODULE",
    "META.INSTRUMENT.CHANNEL": "CHANNEL",
    "META.INSTRUMENT.FILTER": "FILTER",
    "META.INSTRUMENT.PUPIL": "PUPIL",
    "META.INSTRUMENT.GRATING": "GRATING",
    "META.INSTRUMENT.BAND": "BAND",
    "META.INSTRUMENT.CORONAGRAPH": "CORONMSK",
    "META.INSTRUMENT.FIXED_SLIT": "FXD_SLIT",
    "META.INSTRUMENT.LAMP_STATE": "LAMP",
    "META.INSTRUMENT.LAMP_MODE": "OPMODE",
    "META.INSTRUMENT.MSA_STATE": "MSASTATE",
    "META.INSTRUMENT.PUPIL_IMAGING_LENS": "PILIN",
    "META.INSTRUMENT.FILTER_POSITION": "FWCPOS",
    "META.INSTRUMENT.PUPIL_POSITION": "PWCPOS",
    "META.EXPOSURE.TYPE": "EXP_TYPE",
    "META.EXPOSURE.READPATT": "READPATT",
    "META.EXPOSURE.NOUTPUTS": "NOUTPUTS",
    "META.EXPOSURE.NRS_NORMAL": "NRS_NORM",
    "META.EXPOSURE.NRS_REFERENCE": "NRS_REF",
    "META.SUBARRAY.NAME": "SUBARRAY",
    "META.SUBARRAY.XSTART": "SUBSTRT1",
    "META.SUBARRAY.YSTART": "SUBSTRT2",
    "META.SUBARRAY.XSIZE": "SUBSIZE1",
    "META.SUBARRAY.YSIZE": "SUBSIZE2",
    "META.VISIT.TSOVISIT": "TSOVISIT",
    "META.VISIT.TYPE": "VISITYPE",
    "META.DITHER.PRIMARY_TYPE": "PATTTYPE",
    "META.CALIBRATION_SOFTWARE_VERSION": "CAL_VER",
    "CAL_VER": "CAL_VER",
    DATE: "DATE-OBS",
    TIME: "TIME-OBS",
}
# Parameters of early rules that no data ever had: they are undefined, as they are to CRDS itself.
_NEVER_DEFINED = frozenset(
    {
        "META.INSTRUMENT.EXP_TYPE",
        "META.INSTRUMENT.GRATINGA",
        "META.INSTRUMENT.GRATINGB",
        "META.INSTRUMENT.GRATING14",
    }
)
UNDEFINED = "UNDEFINED"
_OFFLINE = {
    "CRDS_SERVER_URL": "https://serverless.invalid",
    "CRDS_OBSERVATORY": "JWST",
    "CRDS_MODE": "local",
    "CRDS_IGNORE_MAPPING_CHECKSUM": "0",
}
_LOCK = threading.RLock()  # crds keeps switches in its modules and in the environment


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that no step here could follow, and why; the rule gives it every time."""

    text: str


Answer = str | Refused | None
Question = tuple[int, tuple[str, ...]]
"""How many of a rule's USEAFTER dates lie before or at the date, and the values of its parameters."""


@dataclass(frozen=True)
class Rule:
    """One rmap.

    Attributes
    ----------
    rmap : crds.core.rmap.ReferenceMapping
    name : str
        File name; at one location rules never change under one name.
    checksum : str
        Digest of the rule's text that the file itself claims, and that was found to be right.
    parameters : tuple of str
        Parameters that decide, apart from the date where there are `edges`.
    edges : tuple of str
        Dates between which nothing changes, in order, as rules compare them.
    """

    rmap: Any
    name: str
    checksum: str
    parameters: tuple[str, ...]
    edges: tuple[str, ...]

    def is_same(self, other: Rule | None) -> bool:
        """Tell whether another rule, of another context, is this one: its answers are the same by definition."""
        return other is not None and (self.name, self.checksum) == (other.name, other.checksum)


class Context:
    """A loaded context.

    Attributes
    ----------
    name : str
        For example ``jwst_0541.pmap``.
    lookups : int
        How often `crds` was asked so far; other answers came from memory.
    learned : dict of rule's name to dict of Question to Answer
        What it was asked, as far as nobody has kept it.
    unusable : mapping of (instrument, type) to ContextError
        Rules that cannot be loaded: whoever asks for one gets its error, and nobody else.
    """

    def __init__(
        self,
        name: str,
        mapping: Any,  # noqa: ANN401 (crds has no types)
        unusable: Mapping[tuple[str, str], errors.ContextError] | None = None,
    ) -> None:
        self.name = name
        self.unusable = unusable or {}
        self.lookups = 0
        self._mapping = mapping
        self._rules: dict[tuple[str, str], Rule | None] = {}
        self.learned: dict[str, dict[Question, Answer]] = {}
        self._answers: dict[str, dict[Question, Answer]] = {}
        self._parameter_types: dict[str, tuple[str, ...]] = {}

    def best_references(self, header: Header, types: Sequence[str]) -> dict[str, str | None]:
        """Select the reference file of each type.

        Parameters
        ----------
        header : mapping
            FITS keywords of the primary header.
        types : sequence of str
            CRDS types in lower case. A type that the context does not know has no file.

        Returns
        -------
        dict of str to str or None
            File names; None where the rules say not applicable, omit, or match nothing.

        Raises
        ------
        MissingKeyword
            INSTRUME, DATE-OBS or TIME-OBS is not in the header or has no usable value.
        ContextError
            The rules cannot be evaluated for any other reason.
        """
        parameters = parameters_of(header)
        instrument = parameters["META.INSTRUMENT.NAME"]
        if instrument == UNDEFINED:
            raise errors.MissingKeyword("INSTRUME is not in the primary header, so no reference file can be selected.")
        date = date_text(parameters[DATE], parameters[TIME])
        return {kind: self.best(parameters, date, self.rule(instrument, kind)) for kind in types}

    def instruments(self) -> tuple[str, ...]:
        """List the instruments that the context has rules for, in upper case."""
        return tuple(sorted(str(name).upper() for name in self._mapping.selections))

    def knows(self, instrument: str) -> bool:
        """Tell whether the context has rules for an instrument."""
        try:
            self._imap(instrument)
        except errors.ContextError:
            return False
        return True

    def types(self, instrument: str) -> tuple[str, ...]:
        """List all types that the context has rules on for an instrument."""
        kinds = self._imap(instrument).get_filekinds()
        return tuple(
            sorted(
                kind for kind in kinds if (instrument, kind) in self.unusable or self.rule(instrument, kind) is not None
            )
        )

    def named(self, instrument: str) -> frozenset[str]:
        """List all types that the context names for an instrument, not applicable ones among them."""
        return frozenset(self._imap(instrument).get_filekinds())

    def parameter_types(self, header: Header) -> tuple[str, ...]:
        """List the types of parameter files (``pars-...``) that the context has rules on for an instrument."""
        instrument = _condition(header.get("INSTRUME", UNDEFINED))
        if instrument not in self._parameter_types:
            kinds = self._imap(instrument).get_filekinds()
            self._parameter_types[instrument] = tuple(sorted(kind for kind in kinds if kind.startswith("pars-")))
        return self._parameter_types[instrument]

    def best(self, parameters: Mapping[str, str], date: str, rule: Rule | None) -> str | None:
        """Return the file that a rule gives, None where it gives none; each distinct question is asked once.

        Parameters
        ----------
        parameters : mapping
            See `parameters_of`, with the date.
        date : str
            The date as rules compare it.
        rule : Rule or None

        Raises
        ------
        ContextError
            The rule cannot be evaluated.
        """
        if rule is None:
            return None
        values = tuple([parameters.get(parameter, UNDEFINED) for parameter in rule.parameters])
        # Between two USEAFTER dates of a rule every date has the same answer.
        question = (bisect.bisect_right(rule.edges, date), values)
        known = self._answers.setdefault(rule.name, {})
        if question not in known:
            known[question] = self._look_up(parameters, rule)
            self.learned.setdefault(rule.name, {})[question] = known[question]
        answer = known[question]
        if isinstance(answer, Refused):
            raise errors.ContextError(answer.text)
        return answer

    def recall(self, rule: Rule, answers: Mapping[Question, Answer]) -> None:
        """Take over what the rule answered earlier."""
        known = self._answers.setdefault(rule.name, {})
        self._answers[rule.name] = {**answers, **known}

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of all instruments, by name."""
        found = {rule.name: rule for instrument in self.instruments() for rule in self.rules_of(instrument)}
        return tuple(found[name] for name in sorted(found))

    def rules_of(self, instrument: str) -> tuple[Rule, ...]:
        """Return the rules of an instrument that can be used; none if the context does not know it."""
        kinds = self.types(instrument) if self.knows(instrument) else ()
        found = (self.rule(instrument, kind) for kind in kinds if (instrument, kind) not in self.unusable)
        return tuple(rule for rule in found if rule is not None)

    def _look_up(self, parameters: Mapping[str, str], rule: Rule) -> Answer:
        from crds.core import exceptions

        nothing = (
            exceptions.IrrelevantReferenceTypeError,
            exceptions.OmitReferenceTypeError,
            exceptions.CrdsLookupError,
            exceptions.ValidationError,  # a value that no rule of this type has
        )
        self.lookups += 1
        try:
            with _raising():
                best = rule.rmap.get_best_ref(parameters)
        except nothing:
            return None
        except Exception as error:
            raise errors.ContextError(f"{self.name}: {rule.name} cannot be evaluated: {error}.") from error
        return _file_name(best, rule.name)

    def plainly(self, header: Header, types: Sequence[str]) -> dict[str, str | None]:
        """Ask `crds` for the reference files of one header by its own loop, without anything of ours between.

        For checks of `best_references`; it takes milliseconds for each header.
        """
        with _LOCK:
            found = self._mapping.get_best_references(parameters_of(header), include=list(types))
        return {kind: _plain(found.get(kind)) for kind in types}

    def rule(self, instrument: str, kind: str) -> Rule | None:
        """Return the rule of a type for an instrument; None where the context has none.

        Raises
        ------
        ContextError
            The context does not know the instrument, or the rule cannot be used.
        """
        if (instrument, kind) in self.unusable:
            raise self.unusable[instrument, kind]
        if (instrument, kind) not in self._rules:
            self._rules[instrument, kind] = self._load_rule(instrument, kind)
        return self._rules[instrument, kind]

    def _load_rule(self, instrument: str, kind: str) -> Rule | None:
        from crds.core import exceptions

        absent = (
            exceptions.CrdsUnknownReftypeError,
            exceptions.IrrelevantReferenceTypeError,
            exceptions.OmitReferenceTypeError,
        )
        try:
            rmap = self._imap(instrument).get_rmap(kind)
        except absent:
            return None
        required = tuple(rmap.get_required_parkeys())
        unknown = sorted(set(required) - set(KEYWORDS) - _NEVER_DEFINED)
        if unknown:
            raise errors.ContextError(
                f"{self.name}: {rmap.basename} selects by {unknown[0]}, and no header keyword is known for it. "
                "Use a newer version of this package."
            )
        edges = tuple(sorted(_edges(rmap.selector.todict())))
        # An expression of a rule may look at any parameter; a rule without USEAFTER may still match on the date.
        reads_all = "rmap_omit" in rmap.header or "rmap_relevance" in rmap.header
        dated = frozenset((DATE, TIME)) if edges else frozenset()
        decisive = tuple(key for key in (KEYWORDS if reads_all else required) if key not in dated)
        return Rule(rmap, rmap.basename, str(rmap.sha1sum), decisive, edges)

    def _imap(self, instrument: str) -> Any:  # noqa: ANN401
        if (instrument, "") in self.unusable:
            raise self.unusable[instrument, ""]
        try:
            return self._mapping.get_imap(instrument)
        except Exception as error:
            raise errors.ContextError(
                f"{self.name} has no rules for INSTRUME = {instrument!r}. Check the header, or name another context."
            ) from error


def load_context(references: Store, name: str, cache_dir: Path, mirror: Store | None = None) -> Context:
    """Load a context, copying its rules to this machine when they are not there yet.

    Parameters
    ----------
    references : Store
        Where references come from, laid out as a CRDS cache.
    name : str
        For example ``jwst_0541.pmap``.
    cache_dir : Path
        Where rules are kept between runs.
    mirror : Store, optional
        An archive root; rules that it holds are not read from anywhere else.

    Raises
    ------
    ContextError
        The context is missing, unreadable, or does not have the checksum that it claims. What is wrong with a mapping
        below it is told to whoever asks for that rule.
    """
    copied = copy_mappings(references, name, cache_dir, mirror)
    try:
        with _offline():
            from crds.core import rmap

            mapping = rmap.load_mapping(name, path=str(copied.directory))
            unusable = _unusable(mapping, copied, references)
    except Exception as error:
        raise _not_loaded(name, error, copied, references) from error
    return Context(name, mapping, unusable)


def _unusable(
    mapping: Any,  # noqa: ANN401
    copied: Copied,
    references: Store,
) -> dict[tuple[str, str], errors.ContextError]:
    """Load every rule of a context; return what is wrong with those that cannot be, by instrument and type.

    The type is empty where it is the instrument's list of rules.
    """
    unusable: dict[tuple[str, str], errors.ContextError] = {}
    for instrument, rules in copied.selects.items():
        if instrument in copied.broken:
            unusable[instrument, ""] = copied.broken[instrument]
            continue
        imap = mapping.get_imap(instrument)
        for kind, name in rules.items():
            if name in copied.broken:
                unusable[instrument, kind] = copied.broken[name]
                continue
            try:
                imap.get_rmap(kind).force_load()
            except Exception as error:
                unusable[instrument, kind] = _not_loaded(name, error, copied, references)
    return unusable


def _not_loaded(name: str, error: Exception, copied: Copied, references: Store) -> errors.ContextError:
    return errors.ContextError(
        f"{name} cannot be loaded from {copied.directory}: {error}. Check the mappings at {references.url}, then "
        "remove that directory."
    )


def parameters_of(header: Header) -> dict[str, str]:
    """Return what rules match, from FITS keywords, by the names and in the form in which rules have them."""
    get = header.get
    return {name: _condition(get(keyword, UNDEFINED)) for name, keyword in KEYWORDS.items()}


@functools.lru_cache(maxsize=65536, typed=True)
def _condition(value: str | int | float | bool) -> str:
    from crds.core import utils

    return str(utils.condition_value(value))


@functools.lru_cache(maxsize=4096)
def date_text(day: str, time: str) -> str:
    """Bring a date into the form in which rules compare it; `crds` drops parts of fractions, so it has to do it.

    Raises
    ------
    MissingKeyword
        They are no date and time.
    """
    from crds.core import timestamp

    try:
        if UNDEFINED in (day, time):
            raise ValueError("one of them is missing")
        return str(timestamp.reformat_date(f"{day} {time}"))
    except Exception as error:
        raise errors.MissingKeyword(
            f"DATE-OBS = {day} and TIME-OBS = {time} of the primary header are no date and time ({error}), "
            "so no reference file can be selected."
        ) from error


def _edges(selector: Mapping[str, Any]) -> Iterator[str]:
    """Yield every USEAFTER date below a selector."""
    for key, choice in selector["selections"]:
        if selector["parameters"] == ("USEAFTER",):
            yield key if isinstance(key, str) else key[0]
        if isinstance(choice, Mapping):
            yield from _edges(choice)


def _file_name(best: object, rule: str) -> Answer:
    if best is None or str(best).upper() in ("N/A", "OMIT", "NOT FOUND N/A"):
        return None
    if not isinstance(best, str) or "/" in best:
        return Refused(f"{rule} gives {best!r}, which is not the name of one file.")
    return best


def _plain(answer: object) -> str | None:
    """Return what `crds` calls a file, and None for its many ways to say that there is none."""
    text = "N/A" if answer is None else str(answer)
    return None if text.upper().startswith(("NOT FOUND", "N/A", "OMIT")) else text


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Keep `crds` from the network while it is imported and reads rules."""
    with _LOCK:
        before = {key: os.environ.get(key) for key in _OFFLINE}
        os.environ.update(_OFFLINE)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value


@contextlib.contextmanager
def _raising() -> Iterator[None]:
    """Have `crds` raise what went wrong, in place of a text that begins with NOT FOUND."""
    from crds.core import log

    with _LOCK:
        before = log.set_exception_trap(False)
        try:
            yield
        finally:
            log.set_exception_trap(before)
