"""How often and how long a commit protocol tries again; it owns its retries, because each store call is one attempt."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from reprocess import errors

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounded tries with exponential back-off and full jitter.

    Attributes
    ----------
    tries : int
        Of one call, the first included.
    first_s, longest_s : float
        Upper bounds of the pause after the first try and of any pause; each is drawn evenly between 0 and its bound.
    sleep : callable
        Takes seconds.
    """

    tries: int = 6
    first_s: float = 0.2
    longest_s: float = 10.0
    sleep: Callable[[float], None] = time.sleep

    def rounds(self) -> Iterator[int]:
        """Count the tries from 1, and pause between them."""
        for number in range(1, self.tries + 1):
            yield number
            if number < self.tries:
                self.sleep(random.uniform(0, min(self.longest_s, self.first_s * 2 ** (number - 1))))

    def insist(self, read: Callable[[], T]) -> T:
        """Call something that changes nothing until the store answers.

        Raises
        ------
        StorageUnavailable
            It did not answer in any of the tries.
        """
        for number in self.rounds():
            try:
                return read()
            except errors.StorageUnavailable:
                if number == self.tries:
                    raise
        raise errors.StorageUnavailable("Patience without a single try reads nothing: allow one or more.")
