"""What a worker's pod does before it stops."""

from __future__ import annotations

from typing import Any


def drain(address: str, name: str, *, limit_s: float, security: Any = None) -> str:  # noqa: ANN401
    """Let a worker end what it executes, and give it nothing more; return a sentence that says how it went.

    Never raises for a scheduler that is gone: there is nothing to wait for then.

    Parameters
    ----------
    address : str
        Of the scheduler, for example ``tls://reprocess-run.default.svc:8786``.
    name : str
        Of the worker, as the scheduler knows it.
    limit_s : float
        How long to wait for what executes, in seconds.
    security : distributed.Security, optional
        What TLS needs; None for ``tcp://``.
    """
    raise NotImplementedError
