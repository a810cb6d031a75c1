"""``earmark review``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.console import say, tell
from earmark.errors import EarmarkError


def review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an audit, from `earmark audit`.")],
    host: Annotated[
        str,
        typer.Option(
            help="Where to listen. Other machines can only reach it elsewhere than here, and need the token of the address."
        ),
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="By default 8765, or a free one.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who listens; by default your user name.")] = None,
    store: Annotated[Path | None, typer.Option(help="The store that was audited, if it has been moved.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Listen to doubtful clips in a browser, and keep or correct their labels. Every decision is on the disk at once."""
    try:
        import PIL  # noqa: F401  (for the spectrograms, which are made later)

        from earmark.web.serve import address_of, listening, serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("earmark"):
            raise
        raise EarmarkError(
            f"the review page needs {error.name}, which is not installed; pip install 'earmark[serve]' brings it"
        ) from None
    from earmark.assess.advice import correcting
    from earmark.web.desk import Desk
    from earmark.web.folder import Audit
    from earmark.web.review import reviewer_name
    from earmark.web.security import Access

    reviewer = reviewer_name(_user() if by is None else by)
    audit = Audit.open(folder, store)
    with listening(host, port) as opened:
        access = Access.to(host, opened.getsockname()[1])
        desk = Desk(audit)
        address = address_of(access, host)

        def ready() -> None:
            say(f"{len(audit.suspects):,} clips to review: {address}")
            tell("Ctrl-C ends it; every decision is on the disk by then")
            if browser and access.token is None:  # a token would show in the list of processes
                _open_browser(address)

        try:
            serve(desk, reviewer, access, opened, ready)
        finally:
            heard = desk.close()
    say(f"{heard:,} clips heard: {desk.corrections}")
    if heard:
        say(f"{correcting(folder, audit.store)[0]} makes a corrected manifest")


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in a container
        return "reviewer"


def _open_browser(address: str) -> None:
    import os
    import sys
    import threading
    import webbrowser

    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        return  # else a browser in text might take the terminal
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
