"""The data of a run: the one place where stores are opened for runs, and held against the data that the run learns from.

`prepare` puts a new store in the place of the old one in a moment, and a process that has the old one open keeps reading it. So a
store is looked at again whenever clips are loaded from it, and once more before anything that was computed from it is written.
"""

from collections.abc import Iterable
from pathlib import Path

from earmark.data.clips import ClipSet, load_clips
from earmark.data.embeddings import load_inputs
from earmark.data.store import Store
from earmark.data.table import ClipTable, load_table
from earmark.errors import RunError, StoreError
from earmark.recipe import Recipe
from earmark.runs.run import Run, RunInfo


def open_store(run: Run, path: Path | None = None) -> Store:
    """Opens the store that a run learns from.

    Args:
        run: the run; it has been started.
        path: folder of the store, if it has been moved; by default where it was when the run was started.

    Raises:
        RunError: the run was never started, or the store has other data.
        StoreError: the folder is no store.
    """
    store = Store.open(Path(run.started().store) if path is None else path)
    check_store(run, store)
    return store


def open_store_to_test(run: Run, path: Path | None = None) -> Store:
    """Opens a store whose test split a run is to score: any that is named, by default the run's own.

    Raises:
        RunError: none is named, and the run was never started, or its own store has other data now.
        StoreError: the folder is no store.
    """
    return open_store(run) if path is None else Store.open(path)


def check_store(run: Run, store: Store) -> None:
    """Checks that a store is the data that a run learns from, and that it still lies in its folder.

    Raises:
        RunError: the run was never started, or the store has other data.
        StoreError: the folder is no store any more.
    """
    info = run.started()
    if _is_of(info, store) and _is_of(info, Store.open(store.path)):
        return
    if str(store.path.resolve()) == info.store:
        raise RunError(
            f"{run.path} learns from {store.path}, which was prepared anew since the run began: train into another --out, or "
            "prepare the earlier data again"
        )
    raise RunError(
        f"{run.path} learns from {info.store}, and {store.path} has other data: name the run's own store, or train into another --out"
    )


def check_unchanged(store: Store) -> None:
    """Checks that a store's folder still has the data that it had when it was opened.

    Raises:
        StoreError: it has other data, or is no store any more.
    """
    now = Store.open(store.path)
    if (now.fingerprint, now.clip_count) != (store.fingerprint, store.clip_count):
        raise StoreError(f"{store.path} was prepared anew while this command read it; start the command again")


def load_run_clips(run: Run, store: Store, sample_rate: int) -> ClipSet:
    """All clips that a run learns from, at one sample rate (in Hz).

    Raises:
        RunError: the store has other data than the run learns from.
        StoreError: the store does not have that rate, or is damaged.
    """
    clips = load_clips(store, sample_rate)
    check_store(run, store)  # afterwards, since the files are opened by their names
    return clips


def load_run_inputs(run: Run, store: Store, member: str) -> ClipSet:
    """All clips that a run learns from, as a member's net takes them; see `earmark.data.embeddings.load_inputs`.

    Raises:
        RunError: the store has other data than the run learns from.
        StoreError: the store does not have the member's rate, or is damaged.
        EmbeddingError: the member's model cannot be used.
    """
    clips = load_inputs(store, run.recipe.members[member])
    check_store(run, store)  # afterwards, since the files are opened by their names
    return clips


def load_unchanged_inputs(store: Store, recipe: Recipe, members: Iterable[str]) -> dict[str, ClipSet]:
    """All clips of a store as the nets of members take them, by the member's name. Members that take the same share them.

    Raises:
        StoreError: the store has not all rates, is damaged, or was prepared anew since it was opened.
        EmbeddingError: the model of a member cannot be used.
    """
    loaded: dict[str, ClipSet] = {}
    inputs: dict[str, ClipSet] = {}
    for name in members:
        settings = recipe.members[name]
        key = str(settings.input.sample_rate) if settings.frontend.name != "embedding" else f"{settings.input} {settings.frontend}"
        if key not in loaded:
            loaded[key] = load_inputs(store, settings)
        inputs[name] = loaded[key]
    check_unchanged(store)
    return inputs


def load_unchanged_table(store: Store) -> ClipTable:
    """All clips of a store without their samples.

    Raises:
        StoreError: the store is damaged, or was prepared anew since it was opened.
    """
    table = load_table(store)
    check_unchanged(store)
    return table


def _is_of(info: RunInfo, store: Store) -> bool:
    # The fingerprint is of what the store was made from; a rate that was added may have left out clips that are too short for it.
    return info.store_fingerprint == store.fingerprint and info.store_clips in (None, store.clip_count)
