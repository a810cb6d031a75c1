"""The store: all clips, decoded once, in one flat file of 16-bit PCM for each sample rate, with a table of the clips.

A store is a folder with ``store.json``, ``clips.parquet``, ``bad.csv`` and one ``pcm-RATE.i16`` (little-endian) for each rate.
``clips.parquet`` has a row for each clip and rate: the columns of the manifest, the content hash, and ``sample_rate`` (Hz),
``offset`` and ``length`` (in samples of the PCM file), ``scale`` (sample = pcm / 32768 · scale), ``peak`` (the largest sample),
``lead`` and ``tail`` (samples of digital silence at the beginning and at the end).
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow

from earmark import files
from earmark.data.parquet import read_parquet
from earmark.errors import StoreError
from earmark.labels import LabelSet

VERSION = 1
MOST_BYTES = 2**30  # of store.json, which has the names of all classes
PCM = np.dtype("<i2")
SOME = 10  # files that a folder is known by


def pcm_name(sample_rate: int) -> str:
    """The name of the file with the samples of one rate."""
    return f"pcm-{sample_rate}.i16"


@dataclass(frozen=True)
class Store:
    """A finished store, opened for reading.

    Attributes:
        path: folder of the store.
        source: name of the source that read the data set.
        root: folder or file of the data set, as the user wrote it.
        sample_rates: the sample rates that it has, in Hz.
        labels: the classes.
        clip_count: number of clips in the store.
        bad_count: number of clips that could not be used.
        fingerprint: changes when the data set's tables or files change.
        licence: licence of the data; empty if unknown.
        options: what the user said of how to read the data set, word for word.
        folder: the folder that the clips' file names were relative to when the store was made; empty if it does not say.
    """

    path: Path
    source: str
    root: str
    sample_rates: tuple[int, ...]
    labels: LabelSet
    clip_count: int
    bad_count: int
    fingerprint: str
    licence: str
    options: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Opens a store.

        Raises:
            StoreError: the folder is no store, it has another version, or its ``store.json`` is damaged.
        """
        try:
            info = files.read_json(path / "store.json", MOST_BYTES)
            version = info["version"]
        except PermissionError:
            raise StoreError(f"{path}: no permission to read it") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise StoreError(f"{path} is no store; `earmark prepare SOURCE ROOT --out {path} --sample-rate HZ` makes one") from None
        try:
            files.refuse_special_in(path)
        except OSError as error:
            raise StoreError(f"{path} is damaged ({error.filename}: {error.strerror}); prepare into another folder") from None
        if version != VERSION:
            raise StoreError(
                f"{path} is a store of version {version}; this earmark reads version {VERSION}: prepare into another folder"
            )
        try:
            return cls(
                path,
                info["source"],
                info["root"],
                tuple(info["sample_rates"]),
                LabelSet(tuple(info["labels"])),
                info["clips"],
                info["bad"],
                info["fingerprint"],
                info["licence"],
                tuple(map(str, info.get("options", ()))),  # a store of an earlier version has none
                str(info.get("folder", "")),  # likewise
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path / 'store.json'} is damaged ({error}); prepare it again into another folder") from None

    @property
    def sounds(self) -> Path:
        """The folder that the clips' file names are relative to. It need not be there any more.

        Where the user wrote a relative path, it is sought from the working directory, from the folders above the store, and where it
        was when the store was made: the first place that has some of the files. If none has, it is where it was.
        """
        root = Path(self.root).parent if self.source == "manifest" else Path(self.root)
        if root.is_absolute():
            return root
        made = [Path(self.folder)] if self.folder else []
        places = [root, *(folder / root for folder in self.path.resolve().parents), *made]
        names = self._some_files()
        has_some = (place for place in places if any((place / name).exists() for name in names))
        there = (place for place in places if place.is_dir())  # of a store that does not say where it was
        return next(has_some, None) or next(iter(made), None) or next(there, root)

    @property
    def table(self) -> Path | None:
        """The manifest that the store was made from; None if it was made from another kind of data set."""
        return self.sounds / Path(self.root).name if self.source == "manifest" else None

    def damage(self) -> str | None:
        """What is wrong with the store's files; None if all are there, and as long as ``clips.parquet`` says."""
        if not (self.path / "bad.csv").is_file():
            return "bad.csv is missing"
        try:
            for rate in self.sample_rates:
                self.rows_and_pcm(rate)
        except StoreError as error:
            return str(error)
        return None

    def rows(self, sample_rate: int) -> pyarrow.Table:
        """The rows of ``clips.parquet`` for one sample rate.

        Raises:
            StoreError: the store does not have that rate, or the file is missing or damaged.
        """
        if sample_rate not in self.sample_rates:
            have = ", ".join(map(str, self.sample_rates))
            add = ["prepare", self.source, self.root, "--out", str(self.path), "--sample-rate", str(sample_rate), *self.options]
            raise StoreError(f"{self.path} has {have} Hz, not {sample_rate} Hz; `earmark {shlex.join(add)}` adds it")
        try:
            return read_parquet(self.path / "clips.parquet", equal=("sample_rate", sample_rate))
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise self._damaged(f"clips.parquet: {error}") from None

    def rows_and_pcm(self, sample_rate: int) -> tuple[pyarrow.Table, np.ndarray]:
        """The result of `rows`, and the samples of that rate, int16 ``[samples]``, memory-mapped.

        Raises:
            StoreError: the store does not have that rate, or one of its files is missing or too short.
        """
        rows = self.rows(sample_rate)
        try:
            files.refuse_special(self.path / pcm_name(sample_rate))
            # Nothing is written. Copy-on-write only because torch warns of read-only memory.
            pcm = np.memmap(self.path / pcm_name(sample_rate), dtype=PCM, mode="c")
        except (OSError, ValueError) as error:
            raise self._damaged(error) from None
        ends = rows["offset"].to_numpy() + rows["length"].to_numpy()
        if int(ends.max(initial=0)) > len(pcm):
            raise self._damaged(f"{pcm_name(sample_rate)} is shorter than clips.parquet says")
        return rows, pcm

    def _some_files(self) -> list[str]:
        """File names of some clips, spread over the store; none where its table cannot be read."""
        try:
            names = read_parquet(self.path / "clips.parquet", ["file_name"])["file_name"]
        except (OSError, ValueError, pyarrow.ArrowException):
            return []
        return [names[place].as_py() for place in range(0, len(names), max(1, len(names) // SOME))]

    def _damaged(self, reason: object) -> StoreError:
        return StoreError(f"{self.path} is damaged ({reason}); prepare it again: what is missing is made anew")
