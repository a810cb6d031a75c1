"""What a build of a store has done so far: samples in flat files, and a line for each clip in a journal beside them.

A build that was stopped at any point goes on behind the last clip whose samples are all written.
"""

import json
import os
import shutil
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Self

from earmark.data.decode import Decoded
from earmark.data.manifest import Clip
from earmark.data.store import PCM, pcm_name
from earmark.errors import AudioError

FLUSH_BYTES = 1 << 25  # of samples, between two times that they are brought onto the disk
NAME = "journal.jsonl"


class Journal:
    """A store that is being built. Make one with `Journal.open`.

    Attributes:
        rows: of each good clip by number: ``content_hash``, and by rate ``offset``, ``length``, ``scale``, ``peak``, ``lead``, ``tail``.
        bad: of each bad clip by number: the file's name and the reason.
    """

    def __init__(
        self, folder: Path, rates: Sequence[int], rows: dict[int, dict[str, Any]], bad: dict[int, tuple[str, str]]
    ) -> None:
        self.rows, self.bad = rows, bad
        self._ends = {rate: sum(row[str(rate)]["length"] for row in rows.values()) for rate in rates}
        self._unsettled = 0
        self._streams = {rate: (folder / pcm_name(rate)).open("ab", buffering=0) for rate in rates}
        self._lines = (folder / NAME).open("ab", buffering=0)
        for rate, stream in self._streams.items():
            stream.truncate(self._ends[rate] * PCM.itemsize)  # a clip that was being written when the last build stopped

    @classmethod
    def open(cls, folder: Path, fingerprint: str, rates: Sequence[int]) -> Self:
        """Goes on with a build of the same inputs and rates, or begins anew.

        Args:
            folder: of the build.
            fingerprint: of the inputs.
            rates: in Hz.
        """
        header = json.dumps({"fingerprint": fingerprint, "sample_rates": list(rates)})
        written, rows, bad = _read(folder)
        if written != header:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / NAME).write_text(header + "\n", encoding="utf-8")
            rows, bad = {}, {}
        return cls(folder, rates, rows, bad)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (*self._streams.values(), self._lines):
            stream.close()

    @property
    def done(self) -> int:
        """The clips that are done, good and bad: the number of the next one."""
        return len(self.rows) + len(self.bad)

    def add(self, clips: Sequence[Clip], results: Sequence[Decoded | AudioError]) -> None:
        """Writes what became of the next clips.

        Args:
            clips: of the manifest, all.
            results: of the next ones.
        """
        lines = []
        samples: dict[int, list[memoryview]] = {rate: [] for rate in self._streams}
        for result in results:
            number = self.done
            line: dict[str, Any]
            if isinstance(result, AudioError):
                line = {"clip": number, "file_name": clips[number].file_name, "bad": str(result)}
                self.bad[number] = (clips[number].file_name, str(result))
            else:
                line = {"clip": number, "content_hash": result.content_hash}
                for rate, encoded in result.at.items():
                    samples[rate].append(encoded.pcm.data)
                    self._unsettled += encoded.pcm.nbytes
                    line[str(rate)] = {"offset": self._ends[rate], **encoded.columns}
                    self._ends[rate] += len(encoded.pcm)
                self.rows[number] = line
            lines.append(json.dumps(line) + "\n")
        for rate, stream in self._streams.items():
            _write_all(stream, samples[rate])
        _write_all(self._lines, [memoryview("".join(lines).encode())])
        if self._unsettled > FLUSH_BYTES:  # while others decode: at the end there is little left to wait for
            self._unsettled = 0
            for stream in self._streams.values():
                os.fsync(stream.fileno())


def _write_all(file: FileIO, pieces: Sequence[memoryview]) -> None:
    """Writes them one after the other, at one go as far as the file takes them."""
    waiting = [piece.cast("B") for piece in pieces if piece.nbytes]
    while waiting:
        taken = os.writev(file.fileno(), waiting)
        while waiting and taken >= len(waiting[0]):
            taken -= len(waiting.pop(0))
        if taken:
            waiting[0] = waiting[0][taken:]


def _read(folder: Path) -> tuple[str | None, dict[int, dict[str, Any]], dict[int, tuple[str, str]]]:
    """The header; rows of good clips, and name and reason of bad ones, by number: up to the first clip whose samples are not all written."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")[:-1]  # the last is empty, or was cut off
        header = lines[0].decode()
        written = {str(r): _size(folder / pcm_name(r)) // PCM.itemsize for r in json.loads(header)["sample_rates"]}
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return None, {}, {}
    rows: dict[int, dict[str, Any]] = {}
    bad: dict[int, tuple[str, str]] = {}
    whole = 1
    for text in lines[1:]:
        try:
            line = json.loads(text)
            if "bad" in line:
                bad[line["clip"]] = (line["file_name"], line["bad"])
            elif all(line[rate]["offset"] + line[rate]["length"] <= samples for rate, samples in written.items()):
                rows[line["clip"]] = line
            else:
                break
        except (ValueError, KeyError, TypeError):
            break
        whole += 1
    # What follows was cut off: the disk was full, or the machine, not only the program, went down.
    os.truncate(folder / NAME, sum(len(text) + 1 for text in lines[:whole]))
    return header, rows, bad


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
