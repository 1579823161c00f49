"""Plain trees in ASDF: written and read as the YAML that they are.

The trees here hold words, numbers and references to FITS extensions, and no blocks. The ASDF library brings its
extensions and their schemas up for each process, which costs more than all headers together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

from reprocess import __version__

_PREFIX = "tag:stsci.edu:asdf/"
_ROOT, _SOFTWARE = f"{_PREFIX}core/asdf-1.1.0", f"{_PREFIX}core/software-1.0.0"
NDARRAY = f"{_PREFIX}core/ndarray-1.1.0"

# The standard that the official reader writes today; newer ones it could not read without warnings.
_HEAD = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n"

# Objects of the core of ASDF that are no plain values.
_OBJECTS = ("ndarray", "complex", "constant", "externalarray", "fraction", "integer")
_OPENING = re.compile(rb"#ASDF \d+\.\d+\.\d+\r?\n")
_END = re.compile(rb"\n\.\.\.\r?\n")


class Tagged(dict[str, Any]):
    """A mapping with a tag of ASDF."""

    def __init__(self, tag: str, values: Mapping[str, object]) -> None:
        super().__init__(values)
        self.tag = tag


class _Dumper(yaml.CSafeDumper):  # type: ignore[misc]
    def ignore_aliases(self, data: object) -> bool:
        return True


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    pass


def _represent(dumper: _Dumper, node: Tagged) -> yaml.Node:
    # Not in one line, so that a person finds the extension.
    return dumper.represent_mapping(node.tag, dict(node), flow_style=node.tag == _SOFTWARE)


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> object:
    """Read what has a tag as if it had none; objects without a plain value are None."""
    if suffix.startswith(f"{_PREFIX}core/") and suffix.removeprefix(f"{_PREFIX}core/").startswith(_OBJECTS):
        return None
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return str(node.value)


_Dumper.add_representer(Tagged, _represent)
_Loader.add_multi_constructor("", _construct)


def to_asdf(content: Mapping[str, object]) -> bytes:
    """Write a tree as an ASDF file; the same tree gives the same bytes.

    Parameters
    ----------
    content : mapping
        Words, numbers, lists and mappings; `Tagged` ones are written with their tags.
    """
    library = Tagged(_SOFTWARE, {"name": "reprocess", "version": __version__})
    text = yaml.dump(
        Tagged(_ROOT, {"asdf_library": library, **content}),
        Dumper=_Dumper,
        version=(1, 1),
        tags={"!": _PREFIX},
        explicit_start=True,
        explicit_end=True,
        default_flow_style=None,
        allow_unicode=True,
        encoding="utf-8",
    )
    return _HEAD + bytes(text)


def from_asdf(data: bytes) -> dict[str, Any]:
    """Read the tree of an ASDF file; what has a tag and is no plain value becomes None.

    Raises
    ------
    ValueError
        The bytes are no ASDF file, or its tree is no mapping.
    yaml.YAMLError
        The tree is damaged.
    """
    if not _OPENING.match(data):
        raise ValueError(f"it begins with {data[:12]!r}")
    end = _END.search(data)
    tree = yaml.load(data[: end.end()] if end else data, Loader=_Loader)
    if not isinstance(tree, dict):
        raise ValueError("its tree is no mapping")
    return tree
