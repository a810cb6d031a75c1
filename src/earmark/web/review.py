"""The server of the review page: what the page asks, as JSON, sounds and pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import normalize
from urllib.parse import unquote

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

from earmark.console import tell
from earmark.errors import AudioError, EarmarkError, MachineError, one_line
from earmark.labels import CONTROL
from earmark.web.desk import Desk, OtherListError, RequestError
from earmark.web.pictures import Look, Pictures
from earmark.web.queues import Filters
from earmark.web.security import Access, Guarded
from earmark.web.wav import Sound, asked_part

STATIC = Path(__file__).parent / "static"
PAGE = "review.html"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LONGEST_NAME = 80  # characters of a reviewer's name
PIECE = 1 << 20  # bytes that are sent at a time
MOST_DIGITS = 18  # of a rank: what has more is no int64
REVALIDATED = {"Cache-Control": "private, no-cache"}  # another audit may be under the same address tomorrow
STATUS: dict[type[EarmarkError], int] = {OtherListError: 409, RequestError: 400, AudioError: 410}


class Decided(BaseModel):
    """What the page says of a decision; see `Desk.decide`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rank: int
    clip_id: str | None = None
    action: str = Field(max_length=20)
    labels: list[str] = Field(default=[], max_length=1000)
    key: str | None = Field(default=None, max_length=64, pattern="^[ -~]+$")


def reviewer_name(text: str) -> str:
    """The name of a reviewer as it is kept.

    Raises:
        RequestError: it is empty, too long, or has characters that a table or a terminal could not show.
    """
    name = normalize("NFC", text).strip()
    is_text = name == name.encode("utf-8", "replace").decode()  # no bytes of a command line that are no UTF-8
    if not name or len(name) > LONGEST_NAME or ";" in name or CONTROL.search(name) or not is_text:
        raise RequestError(
            f"the reviewer's name {name[:LONGEST_NAME]!r} must have 1 to {LONGEST_NAME} characters, none of them ; or one that cannot be shown"
        )
    return name


def review_app(desk: Desk, reviewer: str, access: Access, static: Path = STATIC) -> Guarded:
    """The application.

    Args:
        desk: the audit that is reviewed.
        reviewer: the name of a reviewer who says none.
        access: who may talk to it.
        static: the folder of the page.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pictures = Pictures(desk.sounds)
    pages = {path.name: path for path in static.iterdir() if path.suffix in KINDS}  # no other file can be asked for

    def who(x_reviewer: Annotated[str | None, Header()] = None) -> str:
        return reviewer_name(reviewer if x_reviewer is None else unquote(x_reviewer, errors="replace"))

    def wanted(
        label: Annotated[str | None, Query(alias="class")] = None,
        reason: str | None = None,
        verified: str = "0",
        again: bool = False,
    ) -> Filters:
        return desk.filters(label or None, reason or None, verified, again)

    @app.get("/")
    def page() -> Response:
        return Response((static / PAGE).read_bytes(), media_type="text/html; charset=utf-8")

    @app.get("/static/{name}")
    def static_file(name: str) -> Response:
        if name not in pages:
            raise KeyError(name)
        return Response(pages[name].read_bytes(), media_type=f"{KINDS[pages[name].suffix]}; charset=utf-8")

    @app.get("/api/state")
    def state(by: Annotated[str, Depends(who)], filters: Annotated[Filters, Depends(wanted)]) -> Response:
        return JSONResponse(desk.state(by, filters))

    @app.get("/api/queue")
    def queue(
        by: Annotated[str, Depends(who)],
        filters: Annotated[Filters, Depends(wanted)],
        count: Annotated[int, Query(ge=1, le=20)] = 3,
        skip: str = "",
    ) -> Response:
        skipped = [int(rank) for rank in skip.split(",") if rank.isascii() and rank.isdigit() and len(rank) <= MOST_DIGITS]
        return JSONResponse({"items": desk.queue(by, filters, count, skipped)})

    @app.get("/api/item/{rank:int}")
    def item(rank: int) -> Response:
        return JSONResponse({"item": desk.item(rank)})

    @app.post("/api/decisions")
    def decide(decided: Decided, by: Annotated[str, Depends(who)], filters: Annotated[Filters, Depends(wanted)]) -> Response:
        saved = desk.decide(by, decided.rank, decided.action, decided.labels, decided.key, decided.clip_id)
        return JSONResponse({"saved": saved, "state": desk.state(by, filters)})

    @app.post("/api/undo")
    def undo(by: Annotated[str, Depends(who)], filters: Annotated[Filters, Depends(wanted)]) -> Response:
        undone = desk.undo(by)
        rank = None if undone is None else undone["rank"]
        return JSONResponse({"rank": rank, "item": undone, "state": desk.state(by, filters)})

    @app.get("/api/sound/{row:int}.wav")
    def sound(row: int, request: Request) -> Response:
        return _wav(desk.sounds.get(row), f'"{desk.audit.store.fingerprint}-{row}', request)

    @app.get("/api/sound/{row:int}.json")
    def about_sound(row: int) -> Response:
        heard = desk.sounds.get(row)
        of = {"seconds": heard.seconds, "rate": heard.sample_rate, "channels": len(heard.stored)}
        return JSONResponse({"from": heard.origin, "why": heard.why, **of})

    @app.get("/api/spectrogram/{row:int}.png")
    def spectrogram(
        row: int,
        scale: Literal["mel", "log"] = "mel",
        range_db: Annotated[float, Query(alias="range", ge=40, le=120)] = 80,
        top: Annotated[float, Query(ge=0, le=1_000_000)] = 0,
        width: Annotated[int, Query(ge=64, le=4000)] = 900,
        height: Annotated[int, Query(ge=32, le=1200)] = 300,
    ) -> Response:
        picture, origin = pictures.get(row, Look(width, height, scale, range_db, top))
        return Response(picture, media_type="image/png", headers={"X-Sound": origin, **REVALIDATED})

    _answer_errors(app)
    return Guarded(app, access)


def _wav(sound: Sound, tag: str, request: Request) -> Response:
    """A sound, or the part of it that is asked for."""
    etag = f'{tag}-{sound.origin}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "X-Sound": sound.origin, **REVALIDATED}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        part = asked_part(asked, sound.size)
    except ValueError as error:
        return JSONResponse({"error": str(error)}, 416, headers | {"Content-Range": f"bytes */{sound.size}"})
    first, last = part or (0, sound.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{sound.size}"
    headers["Content-Length"] = str(last - first)
    return StreamingResponse(_pieces(sound, first, last), 200 if part is None else 206, headers, "audio/wav")


def _pieces(sound: Sound, first: int, last: int) -> Iterator[bytes]:
    for begin in range(first, last, PIECE):
        yield sound.part(begin, min(begin + PIECE, last))


def _answer_errors(app: FastAPI) -> None:
    """Makes every error an answer of one line."""

    def answer(status: int, reason: object) -> JSONResponse:
        return JSONResponse({"error": one_line(str(reason))}, status)

    @app.exception_handler(HTTPException)
    async def of_http(_: Request, error: HTTPException) -> Response:
        return answer(error.status_code, error.detail)

    @app.exception_handler(RequestValidationError)
    async def of_values(_: Request, error: RequestValidationError) -> Response:
        faults: list[Any] = list(error.errors())
        return answer(400, f"{'.'.join(map(str, faults[0]['loc'][1:]))}: {faults[0]['msg']}" if faults else "bad request")

    @app.exception_handler(KeyError)
    async def of_numbers(_: Request, error: KeyError) -> Response:
        return answer(404, f"there is no {error.args[0] if error.args else 'such thing'}")

    @app.exception_handler(EarmarkError)
    async def of_ours(_: Request, error: EarmarkError) -> Response:
        return answer(next((status for kind, status in STATUS.items() if isinstance(error, kind)), 503), error)

    @app.exception_handler(MachineError)
    async def of_machine(_: Request, error: MachineError) -> Response:
        return answer(503, error)

    @app.exception_handler(Exception)
    async def of_own(_: Request, error: Exception) -> Response:
        reason = f"a fault of earmark's own ({type(error).__name__}: {error})"
        tell(f"error: {reason}")
        return answer(500, reason)
