"""``earmark audit``: judges the labels of a run's clips, and writes a folder with what comes of it."""

from pathlib import Path

from earmark import files
from earmark.assess.audit import judge, make_audit
from earmark.assess.audit_files import check_audit_out, write_audit
from earmark.assess.audit_page import write_audit_page
from earmark.assess.audit_result import Audit
from earmark.assess.duplicates import find_duplicates
from earmark.data.store import Store
from earmark.data.table import Array
from earmark.errors import EarmarkError
from earmark.runs.data import check_store
from earmark.runs.run import Run
from earmark.training.cross_fit import leaning_classes
from earmark.training.judges import Judges, gather_judges


def audit_run(run: Run, store: Store, out: Path) -> Audit:
    """Finds the labels of a run's training clips that are probably wrong, and writes what it finds into a folder.

    No judge of a clip has heard its recording: neither the regressions that are trained here nor the run's own nets, of which only
    out-of-fold scores are used. Test clips are not touched.

    Args:
        run: a run with a finished net.
        store: its store.
        out: a new or empty folder, or that of an earlier audit of the same run; what has been decided there stays.

    Raises:
        EarmarkError: ``out`` is something else, in use, or cannot be written to.
        RunError: no net is finished, the store has other data, or nothing can judge the clips.
        StoreError: the store is damaged.
        EmbeddingError: the run's embedding cannot be used.
    """
    check_audit_out(out, run.path, store.fingerprint)
    if not run.finished():
        raise run.unfinished_error()
    judges = gather_judges(run, store)
    judged = judge(judges.clips, judges.guesses)
    leaning = leaning_classes(judges.clips)
    audit = make_audit(
        judged,
        find_duplicates(judges.clips, judges.content_hash, judges.vectors, judges.notes),
        leaning,
        run=run.path,
        store=store.path,
        strategy=_strategy(judges, leaning),
        notes=judges.notes,
    )
    check_store(run, store)
    with files.locked(out / ".lock", out):
        try:
            write_audit_page(out, audit, judges.clips, store)
            write_audit(out, audit, judged, store, judges.key)
        except OSError as error:
            raise EarmarkError(f"cannot write {out}: {error.strerror or error}; start the same command again") from error
    return audit


def _strategy(judges: Judges, leaning: Array) -> str:
    """What the audit stands on, in words."""
    clips = judges.clips
    verified = int((clips.verified & clips.labelled).sum())
    who = " and ".join(judges.titles)
    if not verified:
        return (
            f"No label is verified. The clips are judged by {who}, which have learned from the given labels of other clips; how sure to be "
            "is an estimate that nothing verified holds. Verify some clips of each class, and the list becomes much better."
        )
    text = f"{verified:,} verified clips say what is right, and how sure to be. The clips are judged by {who}."
    if (few := int(leaning.sum())) == len(leaning):
        return text + " No class has enough verified clips to be learned from them alone, so that the judges learn from all labels."
    if few:
        return (
            text
            + f" {few} of {len(leaning)} classes have too few verified clips; there the judges learn from unverified labels too."
        )
    return text
