"""Settings: one TOML file, then the environment, then flags; the later weighs more.

The file is the one named by ``REPROCESS_SETTINGS``, else ``reprocess.toml`` in the working directory, else
``~/.config/reprocess/settings.toml``. Each field can be set as ``[group] name`` in the file, as
``REPROCESS_GROUP_NAME`` in the environment, and by the flag that the command line names for it.
"""

from __future__ import annotations

import contextlib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from reprocess import errors


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """How object stores are reached; credentials always come from where boto3 looks for them."""

    endpoint: str = ""
    """URL of the S3 endpoint; empty: ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL`` or Amazon's own."""
    profile: str = ""
    """Name of an AWS profile; empty: what boto3 takes."""
    region: str = ""
    """AWS region; empty: what boto3 takes."""
    anonymous: bool = False
    """Read every location without credentials."""


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Where tasks run."""

    scheduler: str = ""
    """``tcp://host:port`` of an existing Dask scheduler, ``serial`` for this process; empty: a local cluster."""
    workers: int = 0
    """Worker processes of a local cluster; 0: one per core."""
    memory_limit_mb: int = 2000
    """Memory of one worker in MB (10^6 bytes); larger exposures are cut into slabs."""
    memory_tiers_mb: tuple[int, ...] = ()
    """Memory of the workers of higher tiers in MB, ascending: where units go that ran out of memory."""
    attempts: int = 3
    """How often a unit is tried when its failure may pass, for each class of failure."""
    deadline_s: float = 7200.0
    """How long one unit may run before its worker is restarted; 0: for ever."""
    canary: int = 2
    """Exposures of each kind that run before all others; 0: none."""
    error_budget: int = 25
    """Failures of one class among the last hundred exposures that pause a campaign; 0: it is never paused."""
    lease_s: float = 30.0
    """How long a coordinator may be silent before another one takes its campaign over."""
    cluster: str = ""
    """``kubernetes`` in the driver of a run there: it makes its own scheduler and workers; empty: as `scheduler`."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How a run on Kubernetes fits its workers to its work."""

    most_workers: int = 50
    """Workers of the first memory tier at most."""
    most_large_workers: int = 4
    """Workers of each higher memory tier at most."""
    aim_s: float = 900.0
    """Work of a worker in seconds that makes it worth starting."""
    idle_s: float = 60.0
    """How long a fleet is larger than it need be before it is lowered, in seconds."""
    period_s: float = 5.0
    """How often the number of workers is decided anew, in seconds."""
    start_s: float = 900.0
    """How long work waits without a single worker before the run gives up; nodes take minutes to come."""
    cost: str = ""
    """Value of the label ``reprocess/cost`` of all that a run makes, for the bill."""


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Where this process runs as the driver of a run; the pod says it in its environment."""

    namespace: str = ""
    """Namespace of the pod; for `submit`, where the run is to go."""
    job: str = ""
    """Name of the Job that owns the pod, and the run."""
    address: str = ""
    """IP address of the pod."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What is kept on this machine between runs."""

    directory: str = ""
    """Rules of contexts, and references; empty: ``$XDG_CACHE_HOME/reprocess`` or ``~/.cache/reprocess``."""
    references_gb: int = 20
    """GB (10^9 bytes) of references that are kept; those that were not used for the longest time go first."""

    @property
    def path(self) -> Path:
        """The directory, with the default filled in."""
        fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reprocess"
        return Path(self.directory).expanduser() if self.directory else fallback


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """What things cost, in a currency of your own, for the forecast of a plan; 0: not known."""

    core_hour: float = 0.0
    """One core for one hour."""
    gb_month: float = 0.0
    """One GB (10^9 bytes) of products kept for one month."""
    thousand_requests: float = 0.0
    """A thousand requests to the store."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read once at the entrance."""

    storage: StorageSettings = field(default_factory=StorageSettings)
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    prices: PriceSettings = field(default_factory=PriceSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)


_LEAST = {
    "workers": 0,
    "memory_limit_mb": 1,
    "attempts": 1,
    "deadline_s": 0.0,
    "canary": 0,
    "error_budget": 0,
    "lease_s": 1.0,
    "most_workers": 1,
    "most_large_workers": 1,
    "aim_s": 1.0,
    "idle_s": 1.0,
    "period_s": 0.5,
    "start_s": 10.0,
    "references_gb": 0,
    "core_hour": 0.0,
    "gb_month": 0.0,
    "thousand_requests": 0.0,
}


_NUMBERS = tuple[int, ...]


def load(environment: Mapping[str, str], flags: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read file, environment and flags, in this order of weight.

    Parameters
    ----------
    environment : mapping
        Usually ``os.environ``.
    flags : mapping of group to mapping of name to value
        Values of None are not set.

    Raises
    ------
    UsageError
        A named file is missing or malformed, a key is unknown, or a value is of the wrong type.
    """
    path = _path(environment)
    tables = _file(path) if path else {}
    unknown = sorted(set(tables) - {group.name for group in fields(Settings)})
    if unknown:
        known = ", ".join(group.name for group in fields(Settings))
        raise errors.UsageError(f"{path}: unknown section [{unknown[0]}]. There are {known}.")
    settings = Settings()
    for group in fields(Settings):
        value = _merge(getattr(settings, group.name), tables.get(group.name, {}), f"{path} [{group.name}]")
        value = _merge(value, _environment(group.name, value, environment), "the environment")
        given = {name: flag for name, flag in flags.get(group.name, {}).items() if flag is not None}
        settings = replace(settings, **{group.name: _merge(value, given, "the command line")})
    return settings


def _path(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("REPROCESS_SETTINGS")
    if named:
        return Path(named)
    home = Path(environment.get("HOME") or Path.home())
    candidates = (Path("reprocess.toml"), home / ".config" / "reprocess" / "settings.toml")
    return next((path for path in candidates if path.is_file()), None)


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise errors.UsageError(f"{path}: cannot be read ({error.strerror}). Check REPROCESS_SETTINGS.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"{path} is not valid TOML: {error}. Mend that line.") from error


def _environment(group: str, settings: Any, environment: Mapping[str, str]) -> dict[str, Any]:  # noqa: ANN401
    hints = get_type_hints(type(settings))
    found = {}
    for name, kind in hints.items():
        text = environment.get(f"REPROCESS_{group}_{name}".upper())
        if text is not None:
            found[name] = _convert(text, kind, f"REPROCESS_{group}_{name}".upper())
    return found


def _convert(text: str, kind: type, name: str) -> str | int | float | bool | tuple[int, ...]:
    if kind is bool and text.lower() in ("1", "true", "yes", "0", "false", "no"):
        return text.lower() in ("1", "true", "yes")
    if kind is int and text.lstrip("-").isdigit():
        return int(text)
    if kind is str:
        return text
    if kind is float:
        with contextlib.suppress(ValueError):
            return float(text)
    if kind == _NUMBERS:
        with contextlib.suppress(ValueError):
            return tuple(int(one) for one in text.split(",") if one.strip())
    wanted = {bool: "true or false", float: "a number", _NUMBERS: "whole numbers with commas between them"}.get(
        kind, "a whole number"
    )
    raise errors.UsageError(f"{name} is {text!r}; it must be {wanted}.")


def _merge(settings: Any, values: Mapping[str, Any], source: str) -> Any:  # noqa: ANN401
    hints = get_type_hints(type(settings))
    found = {}
    for name, value in values.items():
        if name not in hints:
            raise errors.UsageError(f"{source}: unknown setting {name!r}. There are {', '.join(hints)}.")
        kind = hints[name]
        found[name] = float(value) if kind is float and type(value) is int else value
        if kind == _NUMBERS:
            found[name] = _ascending(value, f"{source}: {name}")
        elif type(found[name]) is not kind or (kind is float and not math.isfinite(found[name])):
            raise errors.UsageError(f"{source}: {name} is {value!r}; it must be of type {kind.__name__}.")
        if name in _LEAST and value < _LEAST[name]:
            raise errors.UsageError(f"{source}: {name} is {value}; it must be {_LEAST[name]} or more.")
    return replace(settings, **found)


def _ascending(value: object, name: str) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, list | tuple) else (None,)
    if not all(type(one) is int and one > 0 for one in numbers) or list(numbers) != sorted(set(numbers)):
        raise errors.UsageError(f"{name} is {value!r}; it must be a list of whole numbers that rise.")
    return numbers
