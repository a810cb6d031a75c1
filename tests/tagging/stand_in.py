"""A stand-in for a model, so that tests of bulk tagging need no net: what a file holds is its tag."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from earmark.errors import NO_SUCH_FILE, AudioError
from earmark.labels import Tag
from earmark.tagging import bulk
from earmark.tagging.sounds import Part, Request, TaggedSound


class StandIn:
    """Files whose text begins with ``bad`` are bad; else their text is their only tag, and an empty file has none.

    Attributes:
        read: names of all files that were read.
        fails_at: number of the file at which the machine fails; None for never.
    """

    def __init__(self) -> None:
        self.read: list[str] = []
        self.fails_at: int | None = None

    def tag_sounds(self, _: Any, paths: Sequence[Path], request: Request, *__: Any) -> list[TaggedSound | AudioError]:
        return [self._tagged(path, request) for path in paths]

    def _tagged(self, path: Path, request: Request) -> TaggedSound | AudioError:
        if len(self.read) == self.fails_at:
            self.fails_at = None
            raise KeyboardInterrupt
        self.read.append(path.name)
        if not path.exists():
            return AudioError(NO_SUCH_FILE)
        text = path.read_text()
        if text.startswith("bad"):
            return AudioError(text)
        tags = [Tag(text, 0.5 + request.top_k / 100)] if text else []
        return TaggedSound(str(path), 2.0, 8000, [Part(0.0, 2.0, tags)])


def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Has `tag_files` call a stand-in, and commit after every basket of two files."""
    model = StandIn()
    monkeypatch.setattr(bulk, "tag_sounds", model.tag_sounds)
    monkeypatch.setattr(bulk, "COMMITTED_EVERY", 0.0)
    monkeypatch.setattr(bulk, "BASKET_FILES", 2)
    return model


#: The model that `tag_files` is given with a stand-in.
TAGGER: Any = SimpleNamespace(config=SimpleNamespace(model_dump_json=lambda: "{}"), folder=Path("nowhere"), scorers=())
