"""The connection between the sites, which can be cut, or stand still, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass(slots=True)
class Line:
    """Passes what comes to its ports on to other ports of this host."""

    closed: bool = False  # nobody gets through, and what was open has ended
    still: bool = False  # connections stay open, and nothing passes
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def pass_on(self, port: int, to: int) -> None:
        """For ever."""

        async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open.add(writer)
            try:
                if not self.closed:
                    above_reader, above = await asyncio.open_connection("127.0.0.1", to)
                    self._open.add(above)
                    try:
                        await asyncio.gather(self._pump(reader, above), self._pump(above_reader, writer))
                    finally:
                        self._end(above)
            except OSError:
                return
            finally:
                self._end(writer)

        server = await asyncio.start_server(guest, "127.0.0.1", port)
        async with server:
            await server.serve_forever()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                while self.still:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.close()

    def cut(self) -> None:
        """Now, in the middle of whatever is said: both ends are told so by their kernel."""
        self.closed = True
        for writer in list(self._open):
            writer.transport.abort()

    def mend(self) -> None:
        """Everything passes again."""
        self.closed = self.still = False
