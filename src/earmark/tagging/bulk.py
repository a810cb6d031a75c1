"""Tagging any number of sounds: what is done is kept, and the same call goes on from there."""

import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from time import monotonic

import numpy as np
import soundfile

from earmark import __version__
from earmark.audio.faults import OF_THE_FILE
from earmark.errors import AudioError, EarmarkError
from earmark.machine import compute_with, cores, threads_kept
from earmark.parallel import in_order
from earmark.progress import Bar, progress_bar
from earmark.tagging.formats import TABLE_A_SOUND
from earmark.tagging.inputs import STDIN, Sound, find_sounds, is_single
from earmark.tagging.journal import MISSING, STREAM, Journal, Listed, State, Waiting
from earmark.tagging.output import open_sink
from earmark.tagging.shards import Shard, is_in_shard, shard_text
from earmark.tagging.sink import Sink
from earmark.tagging.sounds import GROUP_SAMPLES, Request, TaggedSound, tag_sounds
from earmark.tagging.tagger import Tagger

BASKET_FILES = 64  # files that are read and scored together, at most
BASKET_BYTES = 32_000_000  # the same, in bytes of the files
SHOWN_BAD = 20  # of the bad files, where a ledger has all of them
COMMITTED_EVERY = 1.0  # seconds; what was done since then is done again after a crash
UNREAD = -2  # in place of the size of what is no ordinary file, and nobody has named: reading a pipe could wait for ever
NO_PERMISSION = OF_THE_FILE[errno.EACCES]  # may be given without a change of the file


@dataclass(frozen=True)
class Tagged:
    """What `tag_files` did.

    Attributes:
        tagged: number of sounds with tags in the output, those of earlier calls among them.
        bad_count: number of sounds that could not be used.
        bad: path and reason of each of them; where there is a ledger, of the first 20.
        ledger: the CSV file that lists them; None if there is none: no sound was bad, or the output is no ordinary file.
        changed: whether this call has changed the output.
        done: number of sounds that this call has read, bad ones too.
        hours: length of the sounds that this call has tagged.
        seconds: how long that took.
    """

    tagged: int
    bad_count: int
    bad: tuple[tuple[str, str], ...]
    ledger: Path | None
    changed: bool
    done: int
    hours: float
    seconds: float


def tag_files(
    tagger: Tagger,
    inputs: Sequence[str],
    request: Request,
    form: str,
    out: Path | str | None,
    threads: int | None = None,
    shard: Shard | None = None,
) -> Tagged:
    """Tags sounds. With ``out``, rows grow there as the work goes on, and a journal beside it says which sounds are done.

    The same call after it was stopped, at whatever moment, goes on where it was; after it has ended, it does nothing. Sounds that are
    new or have changed are tagged, and the rows of those that have changed or are not asked for any more are taken out: afterwards the
    output has the rows of the sounds that were asked for, each once. Files are known by path, size and time of change.

    Args:
        tagger: the model.
        inputs: what to tag, see `earmark.tagging.inputs.find_sounds`.
        request: what is asked of every sound.
        form: format of the output, one of `earmark.tagging.formats.FORMATS`.
        out: where the tags go, see `earmark.tagging.output.open_sink`; None for stdout.
        threads: files in work at once; by default as many as there are cores for this process.
        shard: its number and how many there are: only the sounds of this shard are tagged, see `earmark.tagging.shards`.

    Raises:
        EarmarkError: something that is asked for is not there, the output cannot be written or gone on with, or a run with other settings
            was stopped there.
        MachineError: the system failed, for which no file is to blame.
    """
    out = None if out is None else os.fspath(out)
    workers = threads or cores()
    with open_sink(out, form, is_single(inputs)) as sink, Journal.open(sink.journal, None if out is None else Path(out)) as journal:
        anew = _is_anew(journal, sink, _settings(tagger, request, form, shard) if sink.journal else {})
        if not anew:
            sink.resume(journal)
        count = journal.ask(_listed(find_sounds(inputs), out, shard, sink.has_tables))
        if form in TABLE_A_SOUND and not sink.has_tables and count > 1:
            raise EarmarkError(f"--format {form} writes a table for every sound, and there are {count:,}; give a folder as --out")
        journal.retry("(reason = ? OR ?)", NO_PERMISSION, journal.header.get("readers") != _readers())
        changed = not journal.header.pop("finished", False)
        journal.header["readers"] = _readers()
        changed = sink.begin(journal, anew) or changed
        work = _Work(sink, journal, count)
        try:
            work.do(tagger, request, workers)
        finally:
            work.keep()
        changed = changed or work.done > 0
        sink.finish(changed)
        journal.header["finished"] = True
        journal.commit()
        return work.tagged(changed)


def _settings(tagger: Tagger, request: Request, form: str, shard: Shard | None) -> dict[str, object]:
    """All that the rows depend on, beside the sounds."""
    asked = asdict(request)
    if isinstance(request.threshold, np.ndarray):
        asked["threshold"] = "per class " + hashlib.blake2b(request.threshold.tobytes(), digest_size=4).hexdigest()
    precisions = {str(getattr(scorer, "precision", "float32")) for scorer in tagger.scorers}
    model = {"model": _model_hash(tagger), "precision": ", ".join(sorted(precisions))}
    return {**model, **asked, "format": form, "shard": shard_text(shard)}


def _model_hash(tagger: Tagger) -> str:
    """A hash of the bundle's settings and of all its weights, wherever it lies."""
    digest = hashlib.blake2b(tagger.config.model_dump_json().encode(), digest_size=8)
    if (tagger.folder / "config.json").is_file():
        for path in sorted([*tagger.folder.glob("*.safetensors"), *tagger.folder.glob("*.onnx")]):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _readers() -> str:
    """What decodes sounds here. Where that is something new, bad sounds are tried again."""
    try:
        av = metadata.version("av")
    except metadata.PackageNotFoundError:
        av = "none"
    return f"earmark {__version__}, libsndfile {soundfile.__libsndfile_version__}, av {av}"


def _is_anew(journal: Journal, sink: Sink, settings: dict[str, object]) -> bool:
    """Whether the work begins with nothing done; then the journal has the settings and nothing else.

    Raises:
        EarmarkError: a run with other settings was stopped there, or it is another shard's.
    """
    old = journal.header.get("settings")
    if old == json.loads(json.dumps(settings)):
        return False
    if old is not None:
        differences = [f"{key} was {old.get(key)}, is {value}" for key, value in settings.items() if old.get(key) != value]
        # Tables without a journal would be refused.
        place = sink.journal.parent if sink.journal and sink.has_tables else sink.journal
        remedy = f"give another --out, or remove {place} to begin anew"
        if old["shard"] != settings["shard"]:
            raise EarmarkError(
                f"the tags of another shard are there ({differences[-1]}): every shard needs an --out of its own; {remedy}"
            )
        if not journal.header.get("finished") and journal.is_begun:
            raise EarmarkError(
                f"a run with other settings was stopped there ({'; '.join(differences)}): give the same again and it goes on, {remedy}"
            )
    journal.forget()
    journal.header["settings"] = settings
    return True


def _listed(sounds: Iterable[Sound], out: str | None, shard: Shard | None, has_tables: bool) -> Iterator[Listed]:
    """What the journal notes of the sounds, those of a shard only.

    Raises:
        EarmarkError: the output is one of them.
    """
    output = None if out is None else _status(out)
    with progress_bar("find sounds", None, unit="files") as bar:
        for number, sound in enumerate(sounds):
            if number % 1000 == 0:
                bar.update(number)
            if shard is not None and not is_in_shard(sound.path, shard):
                continue
            wish = os.fsencode(sound.name) if has_tables else b""
            status = None if sound.path == STDIN else _status(sound.path)
            if sound.path == STDIN or (status and not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode)):
                size, mtime = (0 if sound.is_named else UNREAD), STREAM
            elif status is None:
                size, mtime = MISSING, MISSING
            elif output is not None and os.path.samestat(status, output):
                raise EarmarkError(f"--out {out} is one of the sounds to tag; name another file")
            else:
                size, mtime = status.st_size, status.st_mtime_ns
            yield Listed(os.fsencode(sound.path), wish, size, mtime)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # reading it will say why
        return None


class _Work:
    """The work of one call."""

    def __init__(self, sink: Sink, journal: Journal, count: int) -> None:
        self._sink, self._journal, self._count = sink, journal, count
        self._begun = self._committed = monotonic()
        self._sound = 0.0  # seconds
        self._is_whole = True  # whether the journal knows of all rows that were written
        self.done = 0

    def do(self, tagger: Tagger, request: Request, threads: int) -> None:
        """Tags all sounds that wait."""
        before = self._count - self._journal.counts()[State.TODO]
        hidden = self._sink.journal is None and sys.stdout.isatty()
        with progress_bar("tag", self._count, before, hidden=hidden, unit="files") as bar:
            for results in _scored(tagger, request, self._journal.waiting(), self._count - before, threads):
                self._is_whole = False
                self._journal.record(self._sink.add(results))
                self._is_whole = True
                self.done += len(results)
                self._sound += sum(sound.seconds for _, sound in results if not isinstance(sound, AudioError))
                self._tell(bar, before + self.done)
                if monotonic() - self._committed >= COMMITTED_EVERY:
                    self.keep()

    def _tell(self, bar: Bar, completed: int) -> None:
        seconds = max(monotonic() - self._begun, 1e-3)
        bar.update(completed, speed=f"{self.done / seconds:,.0f} files/s, {self._sound / seconds:,.0f} × real time")

    def keep(self) -> None:
        """Makes what is done last."""
        if self._is_whole:
            self._sink.sync(self._journal)
            self._committed = monotonic()

    def tagged(self, changed: bool) -> Tagged:
        """What has been done."""
        counts = self._journal.counts()
        bad = tuple(islice(self._journal.bad(), SHOWN_BAD if self._sink.ledger else None))
        seconds = monotonic() - self._begun
        return Tagged(
            counts[State.TAGGED], counts[State.BAD], bad, self._sink.ledger, changed, self.done, self._sound / 3600, seconds
        )


def _scored(
    tagger: Tagger, request: Request, waiting: Iterable[Waiting], count: int, threads: int
) -> Iterator[list[tuple[Waiting, TaggedSound | AudioError]]]:
    """Baskets of sounds with their tags, or why they are bad, in order.

    Threads take a basket each, and compute alone: threads that share the steps of a small net spend their time on waiting
    for each other. Where there are fewer files than threads, several score the parts of a file.
    """
    if not count:
        return
    workers = min(threads, count)
    few = -(-count // workers)  # so that every thread has files
    # What is in work at once shares the memory, however many threads there are.
    baskets = _baskets(waiting, min(BASKET_FILES, few), BASKET_BYTES // workers)
    score = partial(_score_basket, tagger, request, threads // workers, GROUP_SAMPLES // workers)
    with threads_kept(), ThreadPoolExecutor(workers, initializer=compute_with, initargs=(threads // workers,)) as pool:
        yield from in_order(pool, score, baskets, ahead=workers + 1)


def _score_basket(
    tagger: Tagger, request: Request, threads: int, group_samples: int, basket: list[Waiting]
) -> list[tuple[Waiting, TaggedSound | AudioError]]:
    paths = [Path(waiting.path) for waiting in basket if waiting.size != UNREAD]
    tagged = iter(tag_sounds(tagger, paths, request, threads, group_samples))
    unread = OF_THE_FILE[errno.ENXIO]
    return [(waiting, AudioError(unread) if waiting.size == UNREAD else next(tagged)) for waiting in basket]


def _baskets(waiting: Iterable[Waiting], max_files: int, max_bytes: int) -> Iterator[list[Waiting]]:
    """Sounds that are read together: several small ones, or a single large one."""
    basket: list[Waiting] = []
    size = 0
    for sound in waiting:
        if basket and (len(basket) == max_files or size + sound.size > max_bytes):
            yield basket
            basket, size = [], 0
        basket.append(sound)
        size += max(sound.size, 0)
    if basket:
        yield basket
