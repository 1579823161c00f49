import pytest

from reprocess import errors
from reprocess.execution import executors
from reprocess.execution.serial import SerialExecutor


class TestOpenExecutor:
    def test_serial(self):
        """The word serial means this process."""
        assert isinstance(executors.open_executor(scheduler="serial", workers=0, memory_limit_bytes=0), SerialExecutor)

    @pytest.mark.parametrize("scheduler", ["localhost:8786", "http://127.0.0.1", "dask"])
    def test_no_address(self, scheduler):
        """Anything that is neither serial nor an address is refused with the form that it should have."""
        with pytest.raises(errors.UsageError, match="tcp://host:port"):
            executors.open_executor(scheduler=scheduler, workers=0, memory_limit_bytes=10**9)

    def test_too_little_memory(self):
        """Workers that could not even start are refused before anything is started."""
        with pytest.raises(errors.UsageError, match="--memory-limit"):
            executors.open_executor(scheduler="", workers=1, memory_limit_bytes=10**7)
