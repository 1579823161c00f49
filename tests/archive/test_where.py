"""The language that chooses exposures: reading it, asking it of rows, and what it changes in a survey."""

import contextlib
import string
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.archive import chosen, partition, scan, where
from reprocess.archive.chosen import Choice
from reprocess.archive.context import load_context
from reprocess.archive.judging import survey
from reprocess.archive.where import And, Comparison, Not, Or, parse
from reprocess.exposure import CatalogueEntry, Verdict
from reprocess.target import Target
from tests.archive.stores import fill
from tests.archive.test_verdicts import NEW, publish, world  # noqa: F401 (a fixture)

TEXTS = st.text(string.ascii_letters + "0123456789 '\"%_-.*[]\\^$\n√é", max_size=5)
NUMBERS = st.integers(-9, 9) | st.floats(-9, 9).map(lambda value: round(value, 1))
LITERALS = {"text": TEXTS, "number": NUMBERS, "truth value": st.booleans()}
KEYWORDS = ("FILTER", "NGROUPS", "EFFINTTM", "TSOVISIT", "DATE-OBS")


@st.composite
def comparisons(draw, names=(*KEYWORDS, "dataset", "size")):
    name = draw(st.sampled_from(names))
    kinds = {"dataset": ["text"], "size": ["number"]}.get(name, list(LITERALS))
    values = LITERALS[draw(st.sampled_from(kinds))]
    operators = ["=", "<", "<=", ">", ">=", "in", "like", "null"]
    operator = draw(st.sampled_from(operators))
    if operator == "null":
        return Comparison(name, operator, (), 0)
    if operator == "like":
        values = TEXTS if "text" in kinds else values
        operator = operator if "text" in kinds else "="
    elif operator not in ("=", "in") and values is LITERALS["truth value"]:
        operator = "="
    count = (1, 3) if operator == "in" else (1, 1)
    return Comparison(name, operator, tuple(draw(st.lists(values, min_size=count[0], max_size=count[1]))), 0)


EXPRESSIONS = st.recursive(
    comparisons(),
    lambda each: st.one_of(
        each.map(Not),
        st.lists(each, min_size=2, max_size=3).map(tuple).map(And),
        st.lists(each, min_size=2, max_size=3).map(tuple).map(Or),
    ),
    max_leaves=6,
)


def printed(expression):
    """An expression as somebody would write it."""
    if isinstance(expression, Not):
        return f"not ({printed(expression.of)})"
    if isinstance(expression, And | Or):
        return (" and " if isinstance(expression, And) else " OR ").join(f"({printed(part)})" for part in expression.of)
    values = [_literal(value) for value in expression.values]
    if expression.operator == "null":
        return f"{expression.name} is null"
    right = f"({', '.join(values)})" if expression.operator == "in" else values[0]
    return f"{expression.name} {expression.operator} {right}"


def _literal(value):
    if isinstance(value, bool):
        return "TRUE" if value else "false"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def placeless(expression):
    """An expression without positions."""
    if isinstance(expression, Comparison):
        return replace(expression, position=0)
    if isinstance(expression, Not):
        return Not(placeless(expression.of))
    return type(expression)(tuple(map(placeless, expression.of)))


class TestParse:
    """`parse`."""

    @given(EXPRESSIONS)
    def test_what_is_printed_is_read(self, expression):
        """Reading what an expression looks like gives the expression."""
        assert placeless(parse(printed(expression))) == expression

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            (
                "not FILTER = 'a' and NGROUPS = 1 or NGROUPS > 2",
                "((not (FILTER = 'a')) and NGROUPS == 1) or NGROUPS > 2",
            ),
            ('FILTER <> "it\'s"', "not FILTER = 'it''s'"),
            ("filter not in ('a')", "not FILTER in ('a')"),
            ("FILTER is not null", "not FILTER is null"),
            ("not not NGROUPS=1", "NGROUPS = 1"),
            ("program='01234'", "PROGRAM = '01234'"),
        ],
    )
    def test_spellings(self, text, same):
        """`and` binds closer than `or`, `not` closer than both; names may be written in the only other case."""
        assert placeless(parse(text)) == placeless(parse(same))

    @pytest.mark.parametrize(
        ("text", "position", "said"),
        [
            ("", 1, "expected a name, `not` or `(`, found the end"),
            ("FILTER", 7, "expected =, !=, <, <=, >, >=, in, like, is or not after FILTER, found the end"),
            ("FILTER = ", 9, "expected a text in quotes, a number, true or false, found the end"),
            ("FILTER = F200W", 10, "found F200W"),
            ("FILTER = 'a", 10, "a text that is not closed by '"),
            ("NGROUPS = 1 NINTS = 2", 13, "expected `and`, `or` or the end, found NINTS"),
            ("(NGROUPS = 1", 13, "expected `and`, `or` or `)`"),
            ("FILTER in ()", 12, "expected a text in quotes"),
            ("FILTER in ('a', 2)", 17, "expected a text, as before, found 2"),
            ("TSOVISIT < true", 12, "a text or a number after <"),
            ("FILTER like 3", 13, "a pattern in quotes"),
            ("FILTER is 3", 11, "`null` or `not null`"),
            ("FILTRE = 'a'", 1, "there is no 'FILTRE' in the catalogue. Did you mean FILTER"),
            ("R_DARK = 'a'", 1, "`reprocess find --reference NAME`"),
            ("__import__('os')", 1, "there is no '__import__'"),
            ("NGROUPS = 1; FILTER = 'a'", 12, "found ;"),
            ("(" * 60 + "NGROUPS = 1" + ")" * 60, 52, "no more than 50 parentheses"),
            ("verdict = 5", 1, "verdict is a text, and 5 is a number"),
            ("size in ('a', 'b')", 1, "size is a number, and 'a' is a text"),
        ],
    )
    def test_mistakes(self, text, position, said):
        """A mistake is named with its position and with what was expected."""
        with pytest.raises(errors.UsageError) as found:
            Choice(text) if text else parse(text)

        assert f"--where, position {position}: " in str(found.value)
        assert said in str(found.value)

    @given(st.text(max_size=30))
    def test_any_text(self, text):
        """Whatever is typed is an expression or a wrong request, and nothing else happens."""
        with contextlib.suppress(errors.UsageError):
            assert list(where.comparisons(parse(text)))


def naive(expression, row):
    """True, false or None, by Python itself, of one row as a mapping of name to value."""
    if isinstance(expression, Not):
        found = naive(expression.of, row)
        return None if found is None else not found
    if isinstance(expression, And | Or):
        found = [naive(part, row) for part in expression.of]
        decisive = isinstance(expression, Or)
        return decisive if decisive in found else None if None in found else not decisive
    value = row.get(expression.name)
    if expression.operator == "null":
        return value is None
    if value is None or where.kind_of(value) != where.kind_of(expression.values[0]):
        return None
    return {
        "=": lambda other: value == other,
        "<": lambda other: value < other,
        "<=": lambda other: value <= other,
        ">": lambda other: value > other,
        ">=": lambda other: value >= other,
        "in": lambda _: value in expression.values,
        "like": lambda other: _like(value, other),
    }[expression.operator](expression.values[0])


def _like(text, pattern):
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and _like(text[1:], pattern[1:])


HEADERS = st.dictionaries(st.sampled_from(KEYWORDS), TEXTS | NUMBERS | st.booleans())
UNIFORM = st.fixed_dictionaries(
    {},
    optional={"FILTER": TEXTS, "NGROUPS": st.integers(-9, 9), "EFFINTTM": st.floats(-9, 9), "TSOVISIT": st.booleans()},
)


def entry(number, header, name=None, level="uncal", size=None):
    name = name or f"d{number}"
    return CatalogueEntry(name, level, "s3://raw", f"{number}.fits", number if size is None else size, "e", header)


def table(*entries):
    return partition.joined([partition.read_table(partition.entries_to_parquet(entries), name="p")])


class TestBefore:
    """`Choice.before`."""

    @settings(max_examples=300)
    @given(EXPRESSIONS, st.lists(HEADERS, max_size=5) | st.lists(UNIFORM, max_size=5))
    def test_as_python_does(self, expression, headers):
        """Rows are chosen for which Python finds the expression true, whatever the types in a column are."""
        entries = [entry(number, header) for number, header in enumerate(headers)]
        rows = [{**one.header, "dataset": one.dataset, "size": one.size} for one in entries]
        choice = Choice(printed(expression))

        kept, skipped = choice.before(table(*entries))

        wanted = [row["dataset"] for row in rows if naive(expression, row)]
        assert sorted(kept.column("dataset").to_pylist()) == sorted(wanted)
        assert (skipped, choice.left_out) == (len(rows) - len(wanted),) * 2

    def test_partitions_of_different_types(self):
        """A keyword that is a number in one partition and text in another is compared with the values of its kind."""
        parts = [table(entry(1, {"FILTER": 5})), table(entry(2, {"FILTER": "F1"})), table(entry(3, {}))]
        objects = partition.joined(parts)
        for text, name in (("FILTER = 5", "d1"), ("FILTER like 'F%'", "d2"), ("FILTER is null", "d3")):
            choice = Choice(text)
            kept, _ = choice.before(objects)
            choice.check()
            assert kept.column("dataset").to_pylist() == [name]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "dataset = 'd1' or NGROUPS = 'x'",
                "position 19: NGROUPS is a number, and 'x' is a text. Compare it with a",
            ),
            ("not FILTER = 3", "position 5: FILTER is a text, and 3 is a number"),
            ("TSOVISIT in (1, 0)", "position 1: TSOVISIT is a truth value, and 1 is a number"),
        ],
    )
    def test_another_kind(self, text, said):
        """A comparison that no row can answer is a wrong request; one with a keyword that nobody has is not."""
        choice = Choice(text)
        choice.before(table(entry(1, {"NGROUPS": 3, "FILTER": "a", "TSOVISIT": True})))

        with pytest.raises(errors.UsageError, match=said.replace("(", r"\(")):
            choice.check()
        nobody = Choice(text)
        nobody.before(table(entry(1, {})))
        nobody.check()

    def test_datasets_are_whole(self):
        """Objects of one name are chosen together, with the products of others beside them, and no others are."""
        objects = table(
            entry(1, {"FILTER": "a"}, "same"),
            entry(2, {"FILTER": "b"}, "same"),
            entry(3, {}, "same", "rate"),
            entry(4, {"FILTER": "c"}, "other"),
            entry(5, {"FILTER": "a"}, "other", "rate"),
        )
        kept, skipped = Choice("FILTER = 'a'").before(objects)

        assert sorted(kept.column("key").to_pylist()) == ["1.fits", "2.fits", "3.fits"]
        assert skipped == 1

    def test_numbers_beyond_doubles(self):
        """Whole numbers are compared as such."""
        large = 2**53
        kept, _ = Choice(f"size = {large + 1}").before(table(*(entry(n, {}, size=large + n) for n in range(3))))

        assert kept.column("dataset").to_pylist() == ["d1"]

    @pytest.mark.parametrize("text", ["EFFINTTM in (0, 5)", "EFFINTTM in (-0.0, 5)", "EFFINTTM = 0", "EFFINTTM = -0.0"])
    def test_zeros(self, text):
        """Nought is nought, whatever its sign."""
        kept, _ = Choice(text).before(
            table(*(entry(n, {"EFFINTTM": value}) for n, value in enumerate((-0.0, 0.0, 1.0))))
        )

        assert sorted(kept.column("dataset").to_pylist()) == ["d0", "d1"]

    def test_what_only_a_judgement_tells(self):
        """Before judging nothing is left out that might be chosen after it, and all else is."""
        objects = table(entry(1, {"NGROUPS": 1}), entry(2, {"NGROUPS": 2}))
        found = {
            text: Choice(text).before(objects)[1]
            for text in ("verdict = 'stale'", "not verdict = 'stale'", "version is null or NGROUPS = 1")
        }
        narrow = Choice("NGROUPS = 1 and not (verdict = 'stale' or reason is null)").before(objects)[1]

        assert (set(found.values()), narrow) == ({0}, 1)


def surveyed(world, text):  # noqa: F811
    known = scan.scan([world.raw], world.archive).catalogue
    return survey(
        known.batches(rows=1),
        context=load_context(world.references, NEW, world.cache),
        references=world.references,
        archive=world.archive,
        target=Target(NEW, ">=0.1", {}),
        software="0.1.0",
        choice=Choice(text),
    )


def rows_of(found):
    """Each candidate as a row: name, verdict, restart, and every text that its reasons have."""
    rows = []
    settled = (Verdict(name, each.state, each.reasons) for each in found.settled for name in each.datasets)
    for verdict in (*(one.verdict for one in found.judgements), *settled):
        reasons = {one.kind for one in verdict.reasons}
        reasons |= {f"{one.kind}: {one.reference_type}" for one in verdict.reasons if one.reference_type}
        rows.append((verdict.dataset, verdict.state, verdict.restart, reasons))
    return sorted(rows, key=lambda row: (row[0], row[1]))


@pytest.fixture
def every(world):  # noqa: F811
    """A survey of everything, with some products of ours."""
    whole = [one for one in world.judge() if one.fingerprint]
    for number, one in enumerate(whole[:6]):
        publish(world, number, one)
    return surveyed(world, "")


class TestSurvey:
    """`survey` with a choice."""

    ASKED = (
        ("verdict = 'stale'", lambda row: row[1] == "stale"),
        ("verdict != 'missing'", lambda row: row[1] != "missing"),
        ("verdict in ('unknown', 'current', 'stale-in-name-only')", lambda row: row[1] not in ("stale", "missing")),
        ("restart is null", lambda row: row[2] is None),
        ("restart is not null and not verdict = 'missing'", lambda row: bool(row[2]) and row[1] != "missing"),
        ("reason = 'reference: dark'", lambda row: "reference: dark" in row[3]),
        ("reason like 'reference%'", lambda row: any(each.startswith("reference") for each in row[3])),
        ("reason != 'reference'", lambda row: bool(row[3]) and "reference" not in row[3]),
        ("reason is null", lambda row: not row[3]),
        ("verdict = 'unknown' or dataset like 'jw04321%'", lambda row: row[1] == "unknown" or row[0][:7] == "jw04321"),
    )

    def test_the_same_verdicts(self, world, every):  # noqa: F811
        """What is chosen has the verdicts that it has without a choice, and with what is left out it is everything."""
        rows = rows_of(every)
        assert {row[1] for row in rows} >= {"stale", "missing", "unknown"}
        for text, wanted in self.ASKED:
            found = surveyed(world, text)

            assert rows_of(found) == [row for row in rows if wanted(row)], text
            assert found.not_selected == len(rows) - len(rows_of(found)), text
        assert {bool(wanted(row)) for _, wanted in self.ASKED for row in rows} == {True, False}

    def test_published(self, world, every):  # noqa: F811
        """What we have published can be asked for; where we have published nothing it is null."""
        published = sum(one.pointer is not None for one in every.judgements) + sum(
            len(each.datasets) for each in every.settled
        )
        count = len(rows_of(every))

        assert published
        assert len(rows_of(surveyed(world, "version like 'v-%'"))) == published
        assert len(rows_of(surveyed(world, "version is null"))) == count - published
        assert len(rows_of(surveyed(world, "software = '0.1.0' and context != 'other'"))) == published

    def test_a_layout_that_is_not_as_promised(self, world):  # noqa: F811
        """An exposure that fails for itself, not with all that are like it, is chosen by the verdict that it gets."""
        odd = "jw01234001001_02101_00077_nrca1"
        fill(world.raw, [odd], primary={"NGROUPS": 99})

        unknown, missing = (
            {row[0] for row in rows_of(surveyed(world, f"verdict = '{state}'"))} for state in ("unknown", "missing")
        )

        assert odd in unknown
        assert odd not in missing
        assert missing

    def test_left_out_is_not_judged(self, world):  # noqa: F811
        """Reference files of what is left out are not even read."""
        found = surveyed(world, "dataset is null")

        assert (rows_of(found), found.not_selected) == ([], 17)
        assert not [key for key in world.references.reads if key.startswith("references/")]

    def test_another_kind(self, world):  # noqa: F811
        """A comparison with a value of another kind than the column has is a wrong request, whatever else it says."""
        with pytest.raises(errors.UsageError, match="position 24: NGROUPS is a number"):
            surveyed(world, "verdict = 'unknown' or NGROUPS = 'x'")


def test_no_pattern_of_a_regular_expression():
    """Signs of regular expressions in a pattern mean themselves."""
    values = ["a.c", "abc", "a+c\n", "(a", "a\\c"]
    kept = {
        pattern: [
            one for one in values if chosen.compared(pa.array([one]), Comparison("x", "like", (pattern,), 1))[0][0]
        ]
        for pattern in ("a.c", "a+c_", "(%", r"a\c", "%")
    }

    assert kept == {"a.c": ["a.c"], "a+c_": ["a+c\n"], "(%": ["(a"], r"a\c": ["a\\c"], "%": values}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("verdict = 'stal'", "stale"),
        ("reason in ('reference:dark')", "reference: dark"),
        ("restart = 'jump'", "image2"),
    ],
)
def test_words_that_no_judgement_tells(text, named):
    """A typing error in a verdict, a reason or a place to begin is told, instead of choosing nothing for ever."""
    with pytest.raises(errors.UsageError, match=named):
        Choice(text)
