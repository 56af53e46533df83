"""Who a browser thinks it speaks to: a guard against pages that point a name of theirs at us.

A listener on loopback trusts whoever reaches it. A browser on this machine reaches it too, led by
a foreign page whose host name was made to resolve to 127.0.0.1 (DNS rebinding); the page may then
read the answers. Such a request carries the foreign name in `Host`. Beyond loopback the token keeps
strangers out, which a page does not have.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from otel_traj.server.listeners import Address

_MISDIRECTED: Final = 421


class OwnHost:
    """An application that, where its listener is on loopback, answers to names of this machine."""

    def __init__(self, app: ASGIApp, address: Address | None) -> None:
        """Guard an application.

        Args:
            app: The application.
            address: Where it will listen; None for nowhere.
        """
        self._app = app
        self._is_guarded = address is not None and address.is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say that it is meant for somebody else."""
        host = Headers(scope=scope).get("host", "")
        if not self._is_guarded or is_this_machine(host):
            await self._app(scope, receive, send)
            return
        told = f"This is not {host!r}: ask for localhost, 127.0.0.1 or [::1]"
        await PlainTextResponse(told, _MISDIRECTED)(scope, receive, send)


def is_this_machine(host: str) -> bool:
    """Whether a header `Host` names this machine by a name that nobody else can give away."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.removeprefix("[").removesuffix("]").lower()
    if name == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False
