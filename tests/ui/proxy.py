"""A wire between a browser and a server that can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class Wire:
    """Passes bytes on, both ways, until it is cut; who connects afterwards is passed on again.

    Attributes:
        n_cuts: How often it was.
        is_down: Whether who connects is turned away.
    """

    def __init__(self, address: str) -> None:
        """Lead to `http://HOST:PORT`."""
        whole = urlsplit(address)
        assert whole.hostname is not None
        assert whole.port is not None
        self._there = (whole.hostname, whole.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.n_cuts = 0
        self.is_down = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it begins, as the server tells its own."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End every connection as a network does that fails."""
        self.n_cuts += 1
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Cut it, and let nobody through while the block lasts."""
        self.is_down = True
        self.cut()
        yield
        self.is_down = False

    def close(self) -> None:
        """Cut it, for good."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self.is_down:
                    here.close()
                    continue
                try:
                    there = socket.create_connection(self._there)
                except OSError:
                    here.close()
                    continue
                for source, target in ((here, there), (there, here)):
                    self._open.add(source)
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65_536):
                target.sendall(chunk)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


@contextlib.contextmanager
def wire(address: str) -> Iterator[Wire]:
    """A wire to a server, while the block lasts."""
    made = Wire(address)
    try:
        yield made
    finally:
        made.close()
