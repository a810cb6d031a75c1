"""The journal of a store that is being built: a line for each clip that is done, beside the files with the samples.

A build that was stopped at any moment goes on after the last clip whose samples are all written. A clip whose file has changed
since then is done again, with all clips after it.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Self

from earmark.data.decode import Decoded, Undecoded
from earmark.data.manifest import Clip
from earmark.data.store import PCM, pcm_name

Unchanged = Callable[[int, str, str], bool]

FLUSH_BYTES = 1 << 25  # of samples, after which the system is made to write them to the disk
NAME = "journal.jsonl"


class Journal:
    """A store that is being built. Make one with `Journal.open`.

    Attributes:
        rows: for each good clip, by its number in the manifest: ``content``, and under each rate ``offset``, ``length``,
            ``scale``, ``peak``, ``lead`` and ``tail``.
        bad: for each bad clip, by its number in the manifest: ``content``, ``file_name``, and the reason as ``bad``.
    """

    def __init__(
        self,
        folder: Path,
        rates: Sequence[int],
        states: Sequence[str],
        rows: dict[int, dict[str, Any]],
        bad: dict[int, dict[str, Any]],
    ) -> None:
        self.rows, self.bad, self._states = rows, bad, states
        self._ends = {rate: sum(row[str(rate)]["length"] for row in rows.values()) for rate in rates}
        self._unflushed = 0
        self._streams = {rate: (folder / pcm_name(rate)).open("ab", buffering=0) for rate in rates}
        self._lines = (folder / NAME).open("ab", buffering=0)
        for rate, stream in self._streams.items():
            stream.truncate(self._ends[rate] * PCM.itemsize)  # removes a clip that was half written when the last build stopped

    @classmethod
    def open(cls, folder: Path, table: str, rates: Sequence[int], states: Sequence[str], unchanged: Unchanged) -> Self:
        """Opens the build in a folder if it has the same clips and rates; else removes it, and begins a new one.

        Args:
            folder: folder of the build.
            table: fingerprint of the data set's table.
            rates: sample rates to make, in Hz.
            states: state of the file of each clip, see `earmark.data.contents`.
            unchanged: is called with a clip's number and the state and the content that its file had, and says whether it still
                has that content.
        """
        header = json.dumps({"table": table, "sample_rates": list(rates)})
        done = _read(folder, header, unchanged)
        if done is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / NAME).write_text(header + "\n", encoding="utf-8")
        return cls(folder, rates, states, *(done or ({}, {})))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (*self._streams.values(), self._lines):
            stream.close()

    @property
    def clips_done(self) -> int:
        """How many clips are done, good and bad; also the number of the next clip."""
        return len(self.rows) + len(self.bad)

    def add(self, clips: Sequence[Clip], results: Sequence[Decoded | Undecoded]) -> None:
        """Writes the results for the next clips.

        Args:
            clips: all clips of the manifest.
            results: for each of the next clips its samples, or the reason why it is bad.
        """
        lines = []
        samples: dict[int, list[memoryview]] = {rate: [] for rate in self._streams}
        for result in results:
            number = self.clips_done
            line: dict[str, Any] = {"clip": number, "state": self._states[number], "content": result.content}
            if isinstance(result, Undecoded):
                line |= {"file_name": clips[number].file_name, "bad": result.reason}
                self.bad[number] = line
            else:
                for rate, encoded in result.encoded.items():
                    samples[rate].append(encoded.pcm.data)
                    self._unflushed += encoded.pcm.nbytes
                    line[str(rate)] = {"offset": self._ends[rate], **encoded.columns}
                    self._ends[rate] += len(encoded.pcm)
                self.rows[number] = line
            lines.append(json.dumps(line) + "\n")
        for rate, stream in self._streams.items():
            _write_all(stream, samples[rate])
        _write_all(self._lines, [memoryview("".join(lines).encode())])
        if self._unflushed > FLUSH_BYTES:  # now, while other threads decode, so that the end has little to wait for
            self._unflushed = 0
            for stream in self._streams.values():
                os.fsync(stream.fileno())


def _write_all(file: FileIO, buffers: Sequence[memoryview]) -> None:
    """Writes all buffers in order, with as few calls of the system as possible."""
    waiting = [buffer.cast("B") for buffer in buffers if buffer.nbytes]
    while waiting:
        written = os.writev(file.fileno(), waiting)
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]


def _read(folder: Path, header: str, unchanged: Unchanged) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]] | None:
    """Reads a journal up to the first clip whose samples are not all written or whose file has changed, and cuts off the rest.

    Returns:
        The lines of good clips and those of bad clips; None if there is no journal, or one with another header.
    """
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")[:-1]  # the last line is empty or cut off
        if lines[0].decode() != header:
            return None
        written = {str(r): _size(folder / pcm_name(r)) // PCM.itemsize for r in json.loads(header)["sample_rates"]}
    except (OSError, IndexError, ValueError):
        return None
    rows: dict[int, dict[str, Any]] = {}
    bad: dict[int, dict[str, Any]] = {}
    good_lines = 1  # the header
    for text in lines[1:]:
        try:
            line = json.loads(text)
            if not unchanged(line["clip"], line["state"], line["content"]):
                break
            if "bad" in line:
                bad[line["clip"]] = line
            elif all(line[rate]["offset"] + line[rate]["length"] <= samples for rate, samples in written.items()):
                rows[line["clip"]] = line
            else:
                break
        except (ValueError, KeyError, TypeError, IndexError):
            break
        good_lines += 1
    # The lines after these have no samples (the disk was full, or the whole machine stopped), or samples of another content.
    os.truncate(folder / NAME, sum(len(text) + 1 for text in lines[:good_lines]))
    return rows, bad


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
