"""Serving the review page: a port, a server for as long as somebody listens, and the corrections at the end."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from earmark.errors import EarmarkError
from earmark.web.desk import Desk
from earmark.web.review import review_app
from earmark.web.security import Access

PORT = 8765
FURTHER = 20  # ports that are tried after the first
WAITING = 100  # connections
PATIENCE = 2  # seconds that a player may take to hang up at the end


def listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: a name or an address of this machine.
        port: the port; if None, the first that is free from `PORT` on, or any.

    Raises:
        EarmarkError: the port is taken, or this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise EarmarkError(f"--host {host}: no address of that name is known") from None
    for number in (*range(PORT, PORT + FURTHER), 0) if port is None else (port,):
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((address[0], number, *address[2:]))
            opened.listen(WAITING)
        except OSError as error:
            opened.close()
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
            raise EarmarkError(f"port {number} of {host} {reason}; another --port, or none, so that a free one is chosen") from None
        return opened
    raise EarmarkError(f"no port of {host} is free")


def address_of(access: Access, host: str) -> str:
    """The address to open in a browser, with the token if one is needed."""
    name = host.strip("[]")
    if access.any_address:
        name = socket.gethostname()
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{access.port}/{'' if access.token is None else f'?token={access.token}'}"


def serve(desk: Desk, reviewer: str, access: Access, opened: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until a signal asks to stop, such as Ctrl-C.

    Args:
        desk: the audit.
        reviewer: the name of a reviewer who says none.
        access: who may talk to the server.
        opened: the socket that listens.
        ready: called just before the first request is answered.
    """
    config = uvicorn.Config(
        review_app(desk, reviewer, access),
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=PATIENCE,
        h11_max_incomplete_event_size=1 << 17,  # a list of all clips that were skipped is part of an address
    )
    ready()
    with _stopped_quietly():
        uvicorn.Server(config).run(sockets=[opened])


@contextmanager
def _stopped_quietly() -> Iterator[None]:
    """The server raises the signal that has stopped it once more; here that is how it is meant to end."""
    try:
        yield
    except KeyboardInterrupt:
        pass
