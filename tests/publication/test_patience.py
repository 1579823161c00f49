from __future__ import annotations

import pytest

from reprocess import errors
from reprocess.publication.patience import Patience


class TestRounds:
    def test_pauses_lie_between_the_tries(self):
        """There is one pause less than tries; its bound doubles up to the longest."""
        pauses = []
        patience = Patience(tries=6, first_s=1, longest_s=4, sleep=pauses.append)

        assert list(patience.rounds()) == [1, 2, 3, 4, 5, 6]
        assert len(pauses) == 5
        assert all(0 <= pause <= bound for pause, bound in zip(pauses, [1, 2, 4, 4, 4], strict=True))


class TestInsist:
    def test_an_answer_in_the_end(self):
        """A read is repeated until the store answers."""
        answers = iter([errors.StorageUnavailable("x"), errors.StorageUnavailable("x"), "answer"])

        def read():
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert Patience(tries=3, sleep=lambda _: None).insist(read) == "answer"

    def test_other_errors_pass(self):
        """An answer that is an error is an answer."""

        def read():
            raise errors.AccessDenied("no")

        with pytest.raises(errors.AccessDenied):
            Patience(sleep=lambda _: pytest.fail("paused")).insist(read)
