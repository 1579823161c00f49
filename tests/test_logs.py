"""Lines in JSON, their fields, and what is kept of a unit."""

import json
import logging
import threading

import pytest

from reprocess import logs

LOG = logging.getLogger("reprocess.some.room")


@pytest.fixture(autouse=True)
def _as_before():
    logger = logging.getLogger("reprocess")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def shown(capsys):
    """Call for what is on standard error."""
    return lambda: capsys.readouterr().err


def kept(told, *, failed=False):
    """The lines of a unit in which `told` is called."""
    with logs.unit(campaign="c", dataset="d", attempt=2) as unit:
        told()
    return [json.loads(line) for line in unit.lines(failed=failed)]


class TestFormats:
    def test_text_is_for_people(self, shown):
        """A line for people has level, logger and message."""
        logs.set_up(1)
        LOG.info("%d of %d", 1, 2)

        assert shown().rstrip().endswith("INFO reprocess.some.room: 1 of 2")

    def test_every_line_in_json_has_every_field(self, shown):
        """A line in JSON says of which campaign, dataset, step and attempt it is; what it is of nothing is empty."""
        logs.set_up(1, "json")
        LOG.info("before")
        with logs.fields(campaign="c", dataset="d", attempt=3), logs.fields(step="jump"):
            LOG.warning("inside")
        LOG.info("after")

        first, second, third = map(json.loads, shown().splitlines())
        told = {"level": "WARNING", "logger": "reprocess.some.room", "message": "inside"}
        told |= {"campaign": "c", "dataset": "d", "step": "jump", "attempt": 3}
        assert {name: second[name] for name in told} == told
        assert {name: first[name] for name in logs.FIELDS} == logs.FIELDS
        assert {name: third[name] for name in logs.FIELDS} == logs.FIELDS

    def test_one_object_is_one_line(self, shown):
        """Line feeds in messages and traces do not break a line."""
        logs.set_up(0, "json")
        try:
            raise ValueError("a\nb")
        except ValueError:
            LOG.exception("c\nd")

        (line,) = shown().splitlines()
        assert "ValueError" in json.loads(line)["exception"]

    def test_a_line_that_cannot_be_formatted(self, shown):
        """Wrong arguments cost the values, not the line."""
        logs.set_up(0, "json")
        LOG.warning("%d rows", "many")

        assert "%d rows" in json.loads(shown())["message"]

    def test_verbosity(self, shown):
        """Without -v only warnings are shown."""
        logs.set_up(0)
        LOG.info("not this")
        LOG.warning("this")

        written = shown()
        assert "not this" not in written
        assert "this" in written


class TestUnit:
    def test_lines_are_kept_and_not_shown(self, shown):
        """A unit keeps what it does; the terminal shows as much as it was told to."""
        logs.set_up(0)
        lines = kept(lambda: (LOG.info("quiet"), LOG.warning("loud"), LOG.debug("nothing")))

        assert [line["message"] for line in lines] == ["quiet", "loud"]
        written = shown()
        assert "quiet" not in written
        assert written.count("loud") == 1

    def test_whole_lines(self):
        """A kept line, made whole, has all fields."""
        with logs.unit(campaign="c", dataset="d", attempt=2) as unit, logs.fields(step="read"):
            LOG.info("x")
        (line,) = unit.lines(failed=False)
        whole = logs.whole(line, {"campaign": "c", "dataset": "d", "attempt": 2})

        assert [whole[name] for name in logs.FIELDS] == ["c", "d", "read", 2]

    def test_everything_is_as_before_afterwards(self, shown):
        """Handlers and level of the program come back, also after an error."""
        logs.set_up(0)
        logger = logging.getLogger("reprocess")
        before = (list(logger.handlers), logger.level, logger.propagate)

        def fails():
            LOG.info("x")
            raise KeyError

        with pytest.raises(KeyError):
            kept(fails)
        assert (list(logger.handlers), logger.level, logger.propagate) == before

    def test_a_program_of_somebody_else(self, caplog):
        """Whoever set up logging in another way sees what was asked for, once, and no more because of units."""
        logging.getLogger("reprocess").handlers[:] = []
        logging.getLogger("reprocess").setLevel(logging.NOTSET)
        logging.getLogger("reprocess").propagate = True
        kept(lambda: (LOG.info("quiet"), LOG.warning("loud")))

        assert [record.getMessage() for record in caplog.records] == ["loud"]

    def test_units_at_a_time(self):
        """Units in several threads keep their own lines."""
        found, both = {}, threading.Barrier(2)

        def one(name):
            def work():
                both.wait()
                for number in range(20):
                    LOG.info("%s %d", name, number)

            found[name] = [line["message"] for line in kept(work)]

        threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == {name: [f"{name} {number}" for number in range(20)] for name in "ab"}

    @pytest.mark.parametrize(("failed", "bound"), [(False, logs.KEPT_BYTES), (True, logs.KEPT_BYTES_OF_TROUBLE)])
    def test_bounds(self, failed, bound):
        """The last lines are kept, up to a bound; the first line says how many are not there."""
        with logs.unit(campaign="c", dataset="d", attempt=1) as unit:
            for number in range(10_000):
                LOG.info("line %d", number)
        first, *lines = (json.loads(line)["message"] for line in unit.lines(failed=failed))

        assert bound // 2 < sum(map(len, unit.lines(failed=failed)[1:])) <= bound
        assert lines == [f"line {number}" for number in range(10_000 - len(lines), 10_000)]
        assert first == f"{10_000 - len(lines)} earlier lines are left out."

    def test_a_warning_is_trouble(self):
        """A unit that went well with a warning keeps as much as one that failed."""
        lines = kept(lambda: [LOG.warning("w"), *(LOG.info("x" * 1000) for _ in range(20))])

        assert lines[0]["message"] == "w"

    def test_no_line_is_endless(self):
        """A message is cut."""
        (line,) = kept(lambda: LOG.warning("x" * 10**6))

        assert len(line["message"]) == logs.LONGEST_MESSAGE
