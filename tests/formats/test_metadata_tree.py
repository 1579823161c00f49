"""The ASDF tree of a product."""

import io

import asdf
import numpy as np
import pytest
from astropy.io import fits

from reprocess.formats import metadata_tree, product
from tests.formats import files
from tests.formats.test_product import INFO, metadata, opened, rate, rateints


def tree_of(data):
    """The ASDF tree of a product, arrays left as references."""
    row = opened(data)["ASDF"].data["ASDF_METADATA"][0]
    with asdf.open(io.BytesIO(row.tobytes())) as file:
        return file.tree


class TestPaths:
    """`PATHS`."""

    def test_no_path_twice(self):
        """No two keywords stand for one path."""
        paths = [path for table in metadata_tree.PATHS.values() for path in table.values()]

        assert len(paths) == len(set(paths))

    def test_flight_files_are_covered(self):
        """Every keyword of a flight file that is not layout has a path."""
        source = metadata(files.flight_file(files.NIRCAM).read_bytes())
        for name, block in (("PRIMARY", source.primary), ("SCI", source.sci)):
            keywords = (
                {card.keyword for card in fits.Header.fromstring(block).cards} - {"", "COMMENT"} - product._LAYOUT
            )

            assert keywords <= set(metadata_tree.PATHS[name])

    def test_agrees_with_the_tree_of_a_flight_file(self):
        """Values reach the paths under which a flight file's own tree has them."""
        source = metadata(files.flight_file(files.NIRCAM).read_bytes())
        headers = {"PRIMARY": fits.Header.fromstring(source.primary), "SCI": fits.Header.fromstring(source.sci)}
        built = metadata_tree.tree(headers, {}, inherited={}, logs={})

        assert built["meta"] == source.meta


class TestTree:
    """`tree`."""

    def test_arrays_are_references(self):
        """Each array node names its extension, type and shape, and holds no pixels."""
        row = opened(rateints())["ASDF"].data["ASDF_METADATA"][0].tobytes()

        assert b"source: fits:SCI,1" in row
        assert b"source: fits:INT_TIMES,1" in row
        assert b"shape: [2, 16, 12]" in row
        assert b"\xd3BLK" not in row

    def test_keywords_without_a_path(self):
        """Our own keywords are kept under extra_fits."""
        extra = [card[0] for card in tree_of(rate())["extra_fits"]["PRIMARY"]["header"]]

        assert {"RPVERS", "RPFPRINT", "RPRAWTAG"} <= set(extra)

    def test_logs(self):
        """Log lines are under cal_logs, beside those of the input."""
        source = metadata(files.uncal(tree={"cal_logs": {"earlier": ["a"]}, "meta": {}}))
        logs = tree_of(rate(source=source))["cal_logs"]

        assert logs == {"earlier": ["a"], "reprocess": list(INFO.log)}

    def test_inherited_metadata(self):
        """What only the input's tree knows stays; keywords win; statuses and references of the input do not."""
        meta = {"exposure": {"read_times": [1.0], "type": "WRONG"}, "cal_step": {"flat_field": "COMPLETE"}}
        built = tree_of(rate(source=metadata(files.uncal(tree={"meta": meta}))))["meta"]

        assert (built["exposure"]["read_times"], built["exposure"]["type"]) == ([1.0], "NRC_IMAGE")
        assert "flat_field" not in built["cal_step"]

    @pytest.mark.parametrize(
        "kind", ["mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise", "ipc"]
    )
    def test_reference_keywords(self, kind):
        """The types of stage 1 have keywords."""
        assert metadata_tree.REFERENCE_KEYWORDS[kind].startswith("R_")

    def test_structured_nodes(self):
        """A table's node names its columns."""
        dtype = np.dtype([("a", "i4"), ("b", "f8")])
        node = metadata_tree.tree({}, {"t": ("T", dtype, (3,))}, inherited={}, logs={})["t"]

        assert [column["datatype"] for column in node["datatype"]] == ["int32", "float64"]
