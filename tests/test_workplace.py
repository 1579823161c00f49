"""Where the units of a campaign run."""

from __future__ import annotations

import pytest

from reprocess import errors, workplace
from reprocess.execution.serial import SerialExecutor
from reprocess.settings import ExecutionSettings, KubernetesSettings, Settings


def settings(here: KubernetesSettings | None = None, **execution) -> Settings:
    return Settings(execution=ExecutionSettings(**execution), kubernetes=here or KubernetesSettings())


class TestOpenExecutor:
    def test_without_a_cluster(self):
        """Without a cluster the scheduler decides."""
        assert isinstance(workplace.open_executor(settings(scheduler="serial")), SerialExecutor)

    @pytest.mark.parametrize(
        ("execution", "words"),
        [
            ({"cluster": "kubernetes"}, "reprocess submit"),
            ({"cluster": "mesos"}, "no cluster 'mesos'"),
            ({"cluster": "kubernetes", "scheduler": "tcp://a:1"}, "Leave out --scheduler"),
        ],
    )
    def test_mistakes(self, execution, words):
        """Outside of a driver's pod, and with another scheduler, a cluster is a mistake that says what to do."""
        with pytest.raises(errors.UsageError, match=words):
            workplace.open_executor(settings(**execution))
