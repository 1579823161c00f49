from __future__ import annotations

import pytest

from reprocess.execution.serial import SerialExecutor
from tests.execution import functions
from tests.execution.executor_contract import ExecutorContract, task


class TestSerialExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self):
        with SerialExecutor() as executor:
            yield executor

    def test_lazy(self, executor):
        """No task is read before the one ahead of it has ended."""
        read = []

        def tasks():
            for i in range(10):
                read.append(i)
                yield task(f"u{i}")

        next(executor.run(functions.act, tasks()))

        assert read == [0]

    def test_an_interrupt_is_not_an_outcome(self, executor):
        """An interrupt from the keyboard ends the run, not the unit."""

        def interrupted(_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(executor.run(interrupted, [task("u")]))
