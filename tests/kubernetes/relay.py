"""A relay of TCP before the object store: can be slow, and can be cut for a while. What passes is not touched."""

from __future__ import annotations

import asyncio
import contextlib
import threading

CHUNK = 65536


class Relay:
    """Listens on an address that pods reach, in a thread of its own.

    Attributes
    ----------
    delay_s : float
        How long each first piece of an answer is held back, in seconds.
    """

    def __init__(self, address: str, upstream: tuple[str, int], port: int = 0) -> None:
        self._address, self._upstream, self._port = address, upstream, port
        self.delay_s = 0.0
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self._port}"

    def __enter__(self) -> Relay:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """Reset every connection, old and new, until `mend`."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._reset)

    def mend(self) -> None:
        self._cut = False

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, self._address, self._port))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        open_still = asyncio.all_tasks(self._loop)
        for task in open_still:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*open_still, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError, asyncio.CancelledError):
            theirs, ours = await asyncio.open_connection(*self._upstream)
            self._writers |= {writer, ours}
            await asyncio.gather(self._pass(reader, ours, 0.0), self._pass(theirs, writer, None))
            self._writers -= {writer, ours}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float | None) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                # A full chunk is followed by more of the same answer.
                if len(data) < CHUNK and (wait_s := self.delay_s if delay_s is None else delay_s):
                    await asyncio.sleep(wait_s)
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()
