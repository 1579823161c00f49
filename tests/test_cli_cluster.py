"""Commands for runs on Kubernetes."""

from __future__ import annotations

import contextlib

from reprocess.execution.dask import processes
from reprocess.execution.kubernetes import api, submission
from tests.execution.kubernetes.toy_cluster import prepared


def test_a_drain_without_certificates(reprocess, tmp_path, monkeypatch):
    """What cannot be drained is told, and is no failure: the pod stops in any case."""
    monkeypatch.setattr(processes, "DRAINED", tmp_path / "drained")

    told = reprocess("drain", "--scheduler", "tls://nowhere:8786", "--name", "w", "--tls", str(tmp_path / "none"))

    assert "Worker w was not drained" in told.output
    assert "ca.pem is missing" in told.output
    assert processes.DRAINED.exists()


def test_a_drain_on_a_full_disk(reprocess, tmp_path, monkeypatch):
    """Nor does a pod that cannot write keep its worker from going."""
    monkeypatch.setattr(processes, "DRAINED", tmp_path / "no" / "such" / "place")

    assert "was not drained" in reprocess("drain", "--scheduler", "tcp://127.0.0.1:1", "--name", "w").output


def test_an_operator_who_looks_away(reprocess, monkeypatch):
    """Ctrl-C ends the looking and not the run, and says how to look again."""
    monkeypatch.setattr(api, "Namespace", lambda _: contextlib.nullcontext(prepared()))
    monkeypatch.setattr(submission, "follow", _interrupted)

    told = reprocess("submit", "s3://b/a", "0123456789abcdef", "--wait", code=130)

    assert (
        "The run goes on. Look again with kubectl --namespace toys logs --follow job/reprocess-0123456789ab-"
        in told.stderr
    )


def _interrupted(*_, **__):
    raise KeyboardInterrupt
