"""Reference selection against CRDS itself, on real rules."""

import functools
import os
import re
import socket

import pytest

from reprocess import errors
from reprocess.archive import context
from reprocess.storage.locate import open_store
from tests.archive import rules, small_rules
from tests.archive.stores import CountingStore
from tests.formats import files

NIRCAM = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCA2",
    "EXP_TYPE": "NRC_IMAGE",
    "SUBARRAY": "FULL",
    "READPATT": "BRIGHT1",
    "DATE-OBS": "2022-04-26",
    "TIME-OBS": "12:00:00.000",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@functools.cache
def real(cache, name="jwst_0541.pmap"):
    return context.load_context(open_store(str(rules.directory())), name, cache)


@functools.cache
def crds_mapping(name):
    """A context as CRDS loads it."""
    from crds.core import rmap

    return rmap.load_mapping(name, path=str(rules.directory() / "mappings" / "jwst"))


def reference_answer(name, header, types):
    """What CRDS says, by its own loading and its own loop over types."""
    from crds.core import utils

    asked = {parameter: header.get(keyword, "UNDEFINED") for parameter, keyword in context.KEYWORDS.items()}
    found = crds_mapping(name).get_best_references(utils.condition_header(asked), include=list(types))
    return {kind: plain(found.get(kind, "N/A")) for kind in types}


def plain(answer):
    """One way of writing each kind of answer."""
    if isinstance(answer, tuple):
        return "several files"
    return None if answer.startswith(("NOT FOUND", "N/A")) else answer


def our_answer(ours, header, types):
    """What we say, type by type, so that one refusal does not hide the others."""
    answer = {}
    for kind in types:
        try:
            answer |= ours.best_references(header, [kind])
        except errors.ContextError:
            answer[kind] = "several files"
    return answer


def edges(name):
    """USEAFTER dates that the rules of a context have, each also a little earlier."""
    text = "".join(
        (rules.directory() / "mappings" / "jwst" / rmap).read_text()
        for imap in re.findall(r"'(\w+\.imap)'", (rules.directory() / "mappings" / "jwst" / name).read_text())
        for rmap in re.findall(r"'(\w+\.rmap)'", (rules.directory() / "mappings" / "jwst" / imap).read_text())
    )
    dates = sorted(set(re.findall(r"'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)'", text)))
    return dates + [f"{date}.500" for date in dates if "." not in date]


class TestBestReferences:
    """`Context.best_references`."""

    @pytest.mark.parametrize("name", ["jwst_0541.pmap", "jwst_0400.pmap", "jwst_0100.pmap"])
    def test_as_crds(self, cache, name):
        """Every type of varied headers, many of them on the edge of a USEAFTER, is what CRDS selects."""
        ours = real(cache, name)
        found = 0
        for header in rules.headers(300, dates=edges(name)):
            answer = our_answer(ours, header, rules.TYPES)
            assert answer == reference_answer(name, header, rules.TYPES), header
            found += sum(file is not None for file in answer.values())
        assert found > 1000

    def test_flight_header(self, cache):
        """The header of a real exposure has the references that CRDS selects for it."""
        from reprocess.formats import header as fits_header

        path = files.flight_file(files.NIRCAM)
        data = path.read_bytes()
        header = fits_header.parse_header(data, name=path.name, size=len(data)).header

        answer = real(cache).best_references(header, rules.TYPES)

        assert answer == reference_answer("jwst_0541.pmap", header, rules.TYPES)
        assert answer["superbias"].startswith("jwst_nircam_superbias_")

    def test_questions_are_asked_once(self, cache):
        """Exposures that differ in nothing that a rule looks at cost no second look-up, whatever their times."""
        ours = real.__wrapped__(cache)
        ours.best_references(NIRCAM, ["dark", "mask"])
        before = ours.lookups

        later = {**NIRCAM, "DATE-OBS": "2022-04-27", "TIME-OBS": "03:04:05.678", "FILTER": "F090W", "TITLE": "x"}

        assert ours.best_references(later, ["dark", "mask"]) == ours.best_references(NIRCAM, ["dark", "mask"])
        assert ours.lookups == before == 2

    def test_several_files(self, cache):
        """A rule that gives several files at once is an error, because no step here could choose among them."""
        header = {**NIRCAM, "INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "BAND": "N/A", "FILTER": "N/A"}
        ours = real(cache, "jwst_0100.pmap")

        with pytest.raises(errors.ContextError, match="not the name of one file"):
            ours.best_references(header, ["flat"])

    def test_no_file(self, cache):
        """Not applicable, matching nothing, and a type that the context does not know are all no file."""
        header = {**NIRCAM, "DATE-OBS": "1999-01-01", "DETECTOR": "NRCX"}

        assert real(cache).best_references(header, ["dark", "pathloss", "pars-jumpstep"]) == {
            "dark": None,
            "pathloss": None,
            "pars-jumpstep": None,
        }

    @pytest.mark.parametrize(
        ("change", "named"),
        [({"DATE-OBS": None}, "DATE-OBS"), ({"DATE-OBS": "soon"}, "SOON"), ({"TIME-OBS": "25:61:00"}, "25:61")],
    )
    def test_no_date(self, cache, change, named):
        """Without a date nothing can be selected, and the message has the keyword's value."""
        header = {key: value for key, value in {**NIRCAM, **change}.items() if value is not None}

        with pytest.raises(errors.MissingKeyword, match=named):
            real(cache).best_references(header, ["dark"])

    def test_no_instrument(self, cache):
        """A header without an instrument is bad data; an instrument without rules is a fault of the context."""
        ours = real(cache)

        with pytest.raises(errors.MissingKeyword, match="INSTRUME"):
            ours.best_references({key: value for key, value in NIRCAM.items() if key != "INSTRUME"}, ["dark"])
        with pytest.raises(errors.ContextError, match="KEPLERCAM"):
            ours.best_references({**NIRCAM, "INSTRUME": "KEPLERCAM"}, ["dark"])

    def test_other_failures(self, cache, monkeypatch):
        """Whatever else goes wrong in a rule is an error, never no file."""
        ours = real.__wrapped__(cache)
        rule = ours.rule("NIRCAM", "dark")

        def fail(header):
            raise RuntimeError("rule is broken")

        monkeypatch.setattr(rule.rmap, "get_best_ref", fail)
        with pytest.raises(errors.ContextError, match="rule is broken"):
            ours.best_references(NIRCAM, ["dark"])

    def test_unknown_parameter(self, cache, monkeypatch):
        """A rule on a parameter that no keyword is known for is an error, because it would select the wrong file."""
        ours = real.__wrapped__(cache)
        monkeypatch.delitem(context.KEYWORDS, "META.EXPOSURE.TYPE")

        with pytest.raises(errors.ContextError, match=r"META\.EXPOSURE\.TYPE"):
            ours.best_references(NIRCAM, ["dark"])


class TestLoadContext:
    """`load_context`."""

    def test_no_network(self, cache, monkeypatch):
        """Loading and selecting open no connection, and the environment is left as it was."""

        def refuse(*_):
            raise AssertionError("a connection was opened")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setenv("CRDS_SERVER_URL", "https://crds.invalid")
        ours = real.__wrapped__(cache)
        ours.best_references(NIRCAM, rules.TYPES)

        assert os.environ["CRDS_SERVER_URL"] == "https://crds.invalid"

    def test_mappings_are_read_once(self, tmp_path):
        """A second context reads only the mappings that the first did not have; a second load reads none."""
        store = CountingStore()
        for path in needed("jwst_0541.pmap") | needed("jwst_0540.pmap"):
            store.put(f"mappings/jwst/{path.name}", path.read_bytes())

        context.load_context(store, "jwst_0540.pmap", tmp_path)
        assert set(store.reads) == {f"mappings/jwst/{path.name}" for path in needed("jwst_0540.pmap")}
        context.load_context(store, "jwst_0541.pmap", tmp_path)
        context.load_context(store, "jwst_0541.pmap", tmp_path)

        assert set(store.reads.values()) == {1}
        assert len(store.reads) == len(needed("jwst_0541.pmap") | needed("jwst_0540.pmap"))
        assert not list(tmp_path.rglob(".*"))

    def test_locations_do_not_mix(self, tmp_path):
        """Two locations may give one name to different rules."""
        for number in (1, 2):
            store = CountingStore()
            for path in needed("jwst_0541.pmap"):
                store.put(f"mappings/jwst/{path.name}", path.read_bytes())
            context.load_context(store, "jwst_0541.pmap", tmp_path)
            assert len(store.reads) > 100, number

    def test_missing_mapping(self, tmp_path):
        """Whoever asks for a rule that is missing is told which, and where it was looked for; nobody else is."""
        store = CountingStore()
        for path in needed("jwst_0541.pmap"):
            if "dark" not in path.name:
                store.put(f"mappings/jwst/{path.name}", path.read_bytes())

        loaded = context.load_context(store, "jwst_0541.pmap", tmp_path)

        with pytest.raises(errors.ContextError, match=rf"_dark_\d+\.rmap, which is not at {store.url}/mappings/jwst"):
            loaded.rule("NIRCAM", "dark")
        assert loaded.rule("NIRCAM", "mask") is not None
        assert "dark" in loaded.types("NIRCAM")
        assert not [rule for rule in loaded.rules() if "dark" in rule.name]

    def test_missing_context(self, tmp_path):
        """A context that is not there is named once, with the place where it was looked for."""
        with pytest.raises(errors.ContextError) as raised:
            context.load_context(CountingStore("nowhere"), "jwst_1200.pmap", tmp_path)

        assert str(raised.value) == (
            "The context that is asked for is jwst_1200.pmap, which is not at "
            "memory://nowhere/mappings/jwst/jwst_1200.pmap. Copy it there, or name another context."
        )

    def test_missing_instrument(self, tmp_path):
        """An instrument whose list of rules is missing is told to those who ask for it."""
        store = CountingStore()
        for path in needed("jwst_0541.pmap"):
            if "miri_0" not in path.name or path.suffix != ".imap":
                store.put(f"mappings/jwst/{path.name}", path.read_bytes())
        loaded = context.load_context(store, "jwst_0541.pmap", tmp_path)

        with pytest.raises(errors.ContextError, match=r"jwst_miri_\d+\.imap, which is not at"):
            loaded.rule("MIRI", "dark")
        assert loaded.rule("NIRCAM", "dark") is not None
        assert loaded.rules_of("MIRI") == ()

    def test_damaged_mapping(self, tmp_path):
        """A rule that does not have the checksum that it claims is not used."""
        store = CountingStore()
        for path in needed("jwst_0541.pmap"):
            text = path.read_text()
            store.put(f"mappings/jwst/{path.name}", text.replace("mask_0031", "mask_0030").encode())

        loaded = context.load_context(store, "jwst_0541.pmap", tmp_path)
        with pytest.raises(errors.ContextError, match=r"jwst_nircam_mask_\d+\.rmap at memory.* sha1sum .* Copy it"):
            loaded.rule("NIRCAM", "mask")
        for path in needed("jwst_0541.pmap"):
            store.put(f"mappings/jwst/{path.name}", path.read_bytes())
        # Nothing of the damage stays on this machine.
        assert not context.load_context(store, "jwst_0541.pmap", tmp_path).unusable

    def test_checksums_are_never_ignored(self, tmp_path, monkeypatch):
        """A setting of crds that lets damaged rules pass does not count, nor does damage to the copies go unseen."""
        monkeypatch.setenv("CRDS_IGNORE_MAPPING_CHECKSUM", "1")
        store = CountingStore()
        small_rules.add_context(store)
        context.load_context(store, "jwst_9001.pmap", tmp_path)
        (copy,) = tmp_path.rglob("jwst_9001_nircam_gain.rmap")
        copy.write_text(copy.read_text().replace("gain_0001", "gain_0002"))

        loaded = context.load_context(store, "jwst_9001.pmap", tmp_path)
        with pytest.raises(errors.ContextError, match=r"jwst_9001_nircam_gain\.rmap.*remove that directory"):
            loaded.rule("NIRCAM", "gain")

    def test_no_checksum(self, tmp_path):
        """A rule that claims no checksum is not used."""
        store = CountingStore()
        small_rules.add_context(store)
        key = "mappings/jwst/jwst_9001_nircam_gain.rmap"
        store.put(key, store.get(key).data.replace(b"'sha1sum'", b"'shasum'"))

        loaded = context.load_context(store, "jwst_9001.pmap", tmp_path)
        with pytest.raises(errors.ContextError, match=r"jwst_9001_nircam_gain\.rmap"):
            loaded.rule("NIRCAM", "gain")

    @pytest.mark.parametrize("name", ["latest", "../jwst_0541.pmap", "jwst_0541.rmap", ""])
    def test_no_context(self, tmp_path, name):
        """What is no name of a context is refused before anything is read."""
        with pytest.raises(errors.ContextError, match="no name of a context"):
            context.load_context(CountingStore(), name, tmp_path)


def needed(name):
    """Paths of a context's mappings."""
    folder = rules.directory() / "mappings" / "jwst"
    found = {folder / name}
    for suffix in ("imap", "rmap"):
        found |= {
            folder / child for path in list(found) for child in re.findall(rf": '([\w-]+\.{suffix})'", path.read_text())
        }
    return {path for path in found if path.exists()}


class TestRealParameters:
    """The table of keywords."""

    def test_complete(self):
        """Every parameter that any real rule selects by has a keyword, or is known never to have had one."""
        texts = (path.read_text() for path in (rules.directory() / "mappings" / "jwst").glob("*.rmap"))
        parameters = {name for text in texts for name in re.findall(r"'(META\.[A-Z0-9_.]+)'", text)}

        assert parameters - set(context.KEYWORDS) - context._NEVER_DEFINED == set()
