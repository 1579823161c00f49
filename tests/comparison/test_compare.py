"""Two versions compared."""

import dataclasses

import numpy as np
import pytest

from reprocess.comparison import compare, files
from reprocess.storage.counting import CountingStore
from tests.comparison import versions
from tests.formats.files import uncal
from tests.formats.test_product import INFO, metadata
from tests.publication import samples


@pytest.fixture
def store():
    return CountingStore(samples.memory_store())


def found(store, one, other, held=None):
    """Findings of two versions."""
    return compare.compare(files.product_files(store, one), files.product_files(store, other, held))


def identical(store, one, other):
    """Whether digests tell that two versions are identical."""
    return compare.are_identical(files.product_files(store, one), files.product_files(store, other))


def info(**changed):
    """What a later campaign says of a product."""
    return dataclasses.replace(INFO, dataset=versions.DATASET, **changed)


LATER = {
    "created": "2027-01-01T00:00:00.000",
    "software": "0.2.0",
    "context": "jwst_1600.pmap",
    "statuses": {"S_DQINIT": "COMPLETE", "S_JUMP": "SKIPPED"},
    "references": {"superbias": "jwst_nircam_superbias_0999.fits"},
    "fingerprint": "c" * 64,
}


class TestIdentical:
    def test_provenance_does_not_count(self, store):
        """Same arrays, other dates, versions, references, statuses: identical, and no pixel or header is read."""
        rate, ints = versions.planes(), versions.planes((2, *versions.SHAPE))
        one = versions.version(store, "v1-1", rate, ints)
        other = versions.version(store, "v2-1", rate, ints, info=info(**LATER))
        store.reset()

        assert [file.sha256 for file in one.files] != [file.sha256 for file in other.files]
        assert identical(store, one, other)
        assert not store.requests

    @pytest.mark.parametrize("name", ["sci", "err", "dq", "var_poisson", "var_rnoise"])
    def test_one_pixel_counts(self, store, name):
        """A single pixel of any array makes two versions differ, and only its extension is told."""
        rate = versions.planes()
        changed = versions.moved(rate)
        getattr(changed, name)[3, 4] += 1
        one, other = versions.version(store, "v1-1", rate), versions.version(store, "v2-1", changed)

        assert not identical(store, one, other)
        records = found(store, one, other).extensions
        assert {key: record["changed"] for key, record in records.items()} == {f"rate/{name.upper()}": 1}

    def test_without_digests(self, store):
        """Of versions that tell no digests the arrays are read, and equal ones leave no findings."""
        rate, ints = versions.planes(), versions.planes((2, *versions.SHAPE))
        one = versions.version(store, "v1-1", rate, ints, payloads=False)
        other = versions.version(store, "v2-1", rate, ints, info=info(**LATER))

        assert not identical(store, one, other)
        assert found(store, one, other).is_empty


class TestArrays:
    @pytest.mark.parametrize("payloads", [True, False])
    @pytest.mark.parametrize("band", [7, 100, 1 << 22])
    def test_figures(self, store, monkeypatch, band, payloads):
        """Figures are in units of the published ERR, the bands do not matter, and older versions do as well."""
        monkeypatch.setattr(compare, "BAND_PIXELS", band)
        rate = versions.planes()
        new = versions.moved(rate, sci=2 * rate.err, var_poisson=3 * rate.err**2, dq=0)
        new.dq[0, :5] ^= np.uint32(4)
        one = versions.version(store, "v1-1", rate, payloads=payloads)
        records = found(store, one, versions.version(store, "v2-1", new)).extensions

        assert sorted(records) == ["rate/DQ", "rate/SCI", "rate/VAR_POISSON"]
        assert records["rate/SCI"]["median_sigma"] == pytest.approx(2, rel=1e-5)
        assert records["rate/SCI"]["changed"] == records["rate/SCI"]["pixels"] - 1
        assert records["rate/SCI"]["nan_old"] == records["rate/SCI"]["nan_new"] == 1
        assert records["rate/VAR_POISSON"]["median_sigma"] == pytest.approx(3, rel=1e-4)
        gained = np.count_nonzero(new.dq & ~rate.dq)
        assert records["rate/DQ"]["bits_gained"].get("JUMP_DET", 0) == gained
        assert records["rate/DQ"]["bits_lost"].get("JUMP_DET", 0) == 5 - gained

    def test_in_memory(self, store):
        """Arrays that are in memory are not read back, and give the same."""
        rate, ints = versions.planes(), versions.planes((2, *versions.SHAPE))
        new, more = versions.moved(rate, sci=0.3), versions.moved(ints, err=0.1, dq=1)
        one, other = versions.version(store, "v1-1", rate, ints), versions.version(store, "v2-1", new, more)
        read = found(store, one, other)
        store.reset()
        held = found(store, one, other, {"rate": new, "rateints": more})

        assert held == read
        assert store.requests == {"get_ranges": 2}

    def test_one_integration(self, store):
        """Rates of a single integration are the rate: they are compared once, and told twice."""
        rate = versions.planes()
        new = versions.moved(rate, sci=0.3, err=0.1)
        one = versions.version(store, "v1-1", rate, versions.cube(rate))
        other = versions.version(store, "v2-1", new, versions.cube(new))
        store.reset()
        records = found(store, one, other, {"rate": new, "rateints": versions.cube(new)}).extensions

        assert store.requests == {"get_ranges": 1}
        assert sorted(records) == ["rate/ERR", "rate/SCI", "rateints/ERR", "rateints/SCI"]
        assert records["rateints/SCI"] == records["rate/SCI"]

    @pytest.mark.parametrize("held", [False, True])
    @pytest.mark.parametrize("differing", ["err", "sci"])
    def test_one_integration_of_its_own(self, store, differing, held):
        """Where the single integration has errors or pixels of its own, it is compared by itself."""
        before = versions.planes()
        after = versions.moved(before, sci=1, err=1)
        ints = [versions.cube(versions.moved(made, **{differing: 3})) for made in (before, after)]
        one, other = versions.version(store, "v1-1", before, ints[0]), versions.version(store, "v2-1", after, ints[1])
        records = found(store, one, other, {"rate": after, "rateints": ints[1]} if held else None).extensions

        rateints = {name.replace("rateints/", "rate/"): one for name, one in records.items() if "rateints" in name}
        alone = (
            versions.version(store, "v3-1", versions.uncubed(ints[0])),
            versions.version(store, "v4-1", versions.uncubed(ints[1])),
        )
        assert rateints == found(store, *alone).extensions

    def test_no_value(self, store):
        """Pixels that lost their value are counted."""
        rate = versions.planes()
        new = versions.moved(rate)
        new.sci[2] = np.nan
        record = found(store, *(versions.version(store, f"v{n}-1", made) for n, made in enumerate((rate, new))))

        assert record.extensions["rate/SCI"]["nan_old"] == 1
        assert record.extensions["rate/SCI"]["nan_new"] == 13

    def test_shape(self, store):
        """Arrays of other axes are not subtracted; both shapes are told."""
        one = versions.version(store, "v1-1", versions.planes())
        other = versions.version(store, "v2-1", versions.planes((8, 12)))
        records = found(store, one, other).extensions

        assert len(records) == 5
        assert (records["rate/SCI"]["shape_old"], records["rate/SCI"]["shape_new"]) == ([16, 12], [8, 12])

    def test_a_file_less(self, store):
        """A file that is in one version only is told with all its arrays."""
        rate = versions.planes()
        one = versions.version(store, "v1-1", rate, versions.planes((2, *versions.SHAPE)))
        records = found(store, one, versions.version(store, "v2-1", rate)).extensions

        assert records["rateints/SCI"]["shape_old"] == [2, 16, 12]
        assert records["rateints/SCI"]["shape_new"] is None

    def test_times_of_integrations(self, store):
        """A row of a table that changed is told."""
        rate, ints = versions.planes(), versions.planes((2, *versions.SHAPE))
        source = metadata()
        source.int_times["int_mid_BJD_TDB"][1] += 1
        one = versions.version(store, "v1-1", rate, ints)
        records = found(store, one, versions.version(store, "v2-1", rate, ints, source=source)).extensions

        assert records == {"rateints/INT_TIMES": {"pixels": 2, "changed": 1}}


class TestKeywords:
    def test_science(self, store):
        """A science keyword that changed, came or went is told with both values; provenance is not."""
        rate = versions.planes()
        one = versions.version(store, "v1-1", rate, source=metadata(uncal(primary={"TARGNAME": "M 31"})))
        later = metadata(uncal(primary={"FILTER": "F090W", "TITLE": "x" * 75 + "y"}))
        other = versions.version(store, "v2-1", rate, source=later, info=info(**LATER))
        findings = found(store, one, other)

        assert set(findings.keywords) == {"TARGNAME", "FILTER", "TITLE"}
        assert findings.keywords["TARGNAME"] == ("M 31", None)
        assert findings.keywords["FILTER"] == ("F200W", "F090W")
        assert findings.keywords["TITLE"][1] == "x" * 75 + "y"
        assert not findings.wcs_changed

    def test_end_of_a_long_string(self, store):
        """Strings that differ only after the first card differ."""
        rate = versions.planes()
        made = [
            versions.version(store, f"v{end}-1", rate, source=metadata(uncal(primary={"TITLE": "x" * 75 + end})))
            for end in "ab"
        ]

        assert list(found(store, *made).keywords) == ["TITLE"]

    @pytest.mark.parametrize("science", [{"CRVAL1": 13.5}, {"S_REGION": "POLYGON ICRS 1 2 3 4"}, {"PC1_1": 0.5}])
    def test_place_on_the_sky(self, store, science):
        """A keyword of the place on the sky is told as such, S_REGION among them."""
        rate = versions.planes()
        one = versions.version(store, "v1-1", rate)
        findings = found(store, one, versions.version(store, "v2-1", rate, source=metadata(uncal(science=science))))

        assert list(findings.keywords) == [f"SCI/{next(iter(science))}"]
        assert findings.wcs_changed
