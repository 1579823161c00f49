"""Words and quantities as people read them."""

from __future__ import annotations


def plain(text: object) -> str:
    r"""Spell out what would not be seen, such as ``\x1b`` or a mark that turns the direction of writing."""
    said = str(text)
    return said if said.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in said)


def size_text(size: float) -> str:
    """Write a number of bytes for people, in decimal units."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:,.0f} B" if units[0] == "B" else f"{_three_digits(size)} {units[0]}"


def duration_text(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 59.95:
        return f"{_three_digits(seconds)} s" if seconds else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _three_digits(value: float) -> str:
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def moment_text(moment: str) -> str:
    """Write an ISO 8601 time in UTC to the second."""
    return f"{moment[:19].replace('T', ' ')} UTC"


def rate_text(per_second: float) -> str:
    """Write how often something happens, in the unit that gives a number from 1 on where there is one."""
    for name, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if per_second * seconds >= 1 or name == "h":
            return f"{_three_digits(per_second * seconds)}/{name}"
    raise AssertionError
