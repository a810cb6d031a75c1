"""Label Studio: the suspects of an audit as tasks for it, and what a team decided there as corrections.

Only choices for a whole clip are known here (https://labelstud.io/tags/choices). An export may be of the kind JSON, in which a task has
all its annotations, or JSON-MIN, which has a record an annotation.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from earmark import files
from earmark.data.audit_info import SUSPECTS, read_info
from earmark.data.cells import split_text, whole_number
from earmark.data.corrections import CLIP_COLUMNS, NONE, REMOVE, UNUSABLE, Correction, Corrections, labels_in, normal_time
from earmark.data.store import Store
from earmark.data.tables import read_csv, require_columns
from earmark.errors import ManifestError, StoreError

MOST_BYTES = 1 << 28  # of an export
NONE_CHOICE = "none of these"
WORDS = {NONE_CHOICE: NONE, UNUSABLE: UNUSABLE, REMOVE: UNUSABLE}  # choices that are no labels, in lower case
CONTROL, SOUND = "labels", "audio"  # names in the labelling interface that is written here
LOCAL = "/data/local-files/?d="  # how Label Studio calls files of its own machine
SUSPECT_COLUMNS = ("rank", "clip_id", "given", "suggested", "probability", "verified", "reason")


@dataclass(frozen=True)
class _Annotation:
    """One annotation of a task: the chosen texts, or why it cannot be used."""

    place: str
    data: Mapping[str, Any]
    chosen: tuple[str, ...] | None
    by: str
    when: str
    fault: str = ""


def read_export(path: Path) -> Corrections:
    """Reads an export of Label Studio, JSON or JSON-MIN.

    The clip is named by ``clip_id``, ``clip`` or ``file_name`` among the data of the task. The choice ``none of these``, and nothing
    chosen, mean that; ``unusable`` or ``remove`` that the clip is to be removed. Of several annotations of a clip the latest counts;
    those who decided otherwise are kept as `Correction.disagrees`. Annotations that were cancelled (skipped) do not count.

    Raises:
        ManifestError: the file cannot be read, or is no such export. What is wrong in single tasks is among the result's faults.
    """
    try:
        tasks = files.read_json(path, MOST_BYTES)
    except OSError as error:
        raise ManifestError(str(path), [error.strerror or str(error)]) from None
    except ValueError as error:
        raise ManifestError(str(path), [f"is not JSON: {error}"]) from None
    tasks = [tasks] if isinstance(tasks, dict) else tasks
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ManifestError(str(path), ["is no export of Label Studio: a list of tasks is needed (JSON or JSON-MIN)"])
    annotations = list(_annotations(path, tasks))
    of_clips: dict[str, list[Correction]] = defaultdict(list)
    faults, words = [], set()
    for annotation in annotations:
        correction, why = _correction(annotation, path.name)
        faults += [f"{annotation.place}: {fault}" for fault in why]
        if correction.clip_id:
            of_clips[correction.clip_id].append(correction)
            words |= {text.lower() for text in annotation.chosen or () if text.lower() in WORDS}
    return Corrections(str(path), tuple(map(_latest, of_clips.values())), tuple(faults), frozenset(words))


def _annotations(path: Path, tasks: Sequence[dict[str, Any]]) -> Iterator[_Annotation]:
    if not any("annotations" in task for task in tasks):
        yield from _from_records(path, tasks)
        return
    for number, task in enumerate(tasks, start=1):
        place = f"task {task.get('id', number)}"
        data, annotations = task.get("data"), task.get("annotations")
        if not isinstance(data, dict) or not isinstance(annotations, list):
            yield _Annotation(place, {}, None, "", "", "has no data and annotations, as a task of Label Studio has")
            continue
        for annotation in annotations:
            if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
                yield _Annotation(place, data, None, "", "", "an annotation has no result")
            elif not annotation.get("was_cancelled"):
                chosen, fault = _chosen(annotation["result"])
                by, when = _who(annotation.get("completed_by")), _time(annotation)
                yield _Annotation(place, data, chosen, by, when, fault)


def _chosen(result: Sequence[Any]) -> tuple[tuple[str, ...] | None, str]:
    """The texts that an annotation chose for the whole clip, and why it cannot be used."""
    chosen: list[str] = []
    of_choices = 0
    for part in result:
        value = part.get("value") if isinstance(part, dict) else None
        if isinstance(value, dict) and part.get("type") == "choices" and not {"start", "end"} & set(value):
            texts = value.get("choices")
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                return None, "its choices are no list of texts"
            chosen += texts
            of_choices += 1
    if result and not of_choices:
        return None, "has no choices for the whole clip (regions and other kinds of annotation are not read)"
    return tuple(dict.fromkeys(chosen)), ""


def _from_records(path: Path, records: Sequence[dict[str, Any]]) -> Iterator[_Annotation]:
    """The annotations of JSON-MIN: the data of the task, its ``id``, what was chosen, ``annotator``, and more, in this order.

    A choice is a text, several are an object with ``choices``, and where nothing was chosen there is no key.
    """
    of_records = []
    for record in records:
        keys = list(record)
        first, last = (keys.index(key) if key in keys else -1 for key in ("id", "annotator"))
        if not 0 <= first < last:
            raise ManifestError(str(path), ["is no export of Label Studio that can be read: its kind must be JSON or JSON-MIN"])
        if any(name in keys[first:] for name in CLIP_COLUMNS):
            raise ManifestError(str(path), ["the data of its tasks have an id of their own: export it as JSON, not JSON-MIN"])
        of_records.append((record, [record[key] for key in keys[first + 1 : last]]))
    annotated = [(record, values) for record, values in of_records if values or record.get("annotation_id") is not None]
    if annotated and not any(values for _, values in annotated):  # what was chosen has taken the place of data of the same name
        raise ManifestError(str(path), ["nothing was chosen in any of its tasks, it seems: export it as JSON, not JSON-MIN"])
    for record, values in annotated:
        result = [
            {"type": "choices", "value": value if isinstance(value, dict) else {"choices": [value]}}
            for value in values
            if isinstance(value, str) or (isinstance(value, dict) and "choices" in value)
        ]
        chosen, fault = _chosen(result or values)
        yield _Annotation(f"task {record['id']}", record, chosen, _who(record["annotator"]), _time(record), fault)


def _who(user: Any) -> str:
    """The name of an annotator: the address where the export has it, else the number."""
    if isinstance(user, dict):
        user = user.get("email") or user.get("id")
    if isinstance(user, int):
        return f"user {user}"
    return user.strip() if isinstance(user, str) else ""


def _time(annotation: Mapping[str, Any]) -> str:
    text = annotation.get("updated_at") or annotation.get("created_at")
    try:
        return normal_time(text) if isinstance(text, str) else ""
    except ValueError:
        return ""


def _correction(annotation: _Annotation, export: str) -> tuple[Correction, list[str]]:
    """What an annotation decided, and what is wrong with it."""
    faults = [annotation.fault] if annotation.fault else []
    names = (annotation.data.get(name) for name in CLIP_COLUMNS)
    clip_id = next((name for name in names if isinstance(name, str) and name.strip()), "")
    if not clip_id and annotation.data:
        faults.append(f"its data name no clip: {', '.join(CLIP_COLUMNS[:-1])} or {CLIP_COLUMNS[-1]} is needed among them")
    chosen = annotation.chosen or ()
    meant = [WORDS[text.lower()] for text in chosen if text.lower() in WORDS]
    labels = labels_in([text for text in chosen if text.lower() not in WORDS], faults)
    if meant and (labels or len(set(meant)) > 1):
        faults.append(f"chooses {' and '.join(map(repr, chosen))}, which cannot both be")
    action = meant[0] if meant else "relabel" if labels else NONE
    content = annotation.data.get("sha256")
    correction = Correction(
        clip_id,
        labels,
        action,
        by=annotation.by or export,
        when=annotation.when,
        sha256=content.lower() if isinstance(content, str) else "",
        place=annotation.place,
    )
    return correction, faults


def _latest(corrections: Sequence[Correction]) -> Correction:
    """The latest decision about a clip; of decisions at the same time, the last."""
    last_of = {correction.by: correction for correction in sorted(corrections, key=lambda correction: correction.when)}
    latest = max(last_of.values(), key=lambda correction: correction.when)
    others = [correction.by for correction in last_of.values() if correction.decision != latest.decision]
    return replace(latest, disagrees=tuple(others))


def write_tasks(audit: Path, out: Path, first: int | None = None, audio_url: str | None = None) -> tuple[int, Path]:
    """Writes suspects of an audit as tasks for Label Studio, and beside them, in a file that ends in ``.xml``, the interface for it.

    What is given and what is suggested are predictions of the task, so that either can be taken over with a click.

    Args:
        audit: folder of the audit.
        out: the file of tasks; its name ends in ``.json``.
        first: number of suspects, from the most doubtful on; by default as many as the audit proposes to hear.
        audio_url: what stands before a file's name in the address of its sound; by default Label Studio's local files, from the folder
            above that of the sounds.

    Returns:
        The number of tasks, and the path of the interface.

    Raises:
        EarmarkError: the folder is no audit, or its ``audit.json`` is damaged.
        ManifestError: the list of suspects is damaged; a class has the name of a choice that is no label; ``out`` has
            another ending, or there is nothing to hear.
        StoreError: the store of the audit is not there, or was prepared anew since.
    """
    if out.suffix.lower() != ".json":
        raise ManifestError(str(out), ["does not end in .json"])
    info = read_info(audit)
    if faults := [
        f"a class is called {label!r}, which would mean something else here"
        for label in info.labels.names
        if label.lower() in WORDS
    ]:
        raise ManifestError(str(audit), faults)
    store = Path(info.store)
    opened = Store.open(store)
    if opened.fingerprint != info.store_fingerprint:
        raise StoreError(f"{store} was prepared anew since {audit} was made: make the audit anew")
    count = info.cut if first is None else first
    if count < 1:
        raise ManifestError(str(audit), ["the audit proposes to hear no clip: --first says how many are wanted all the same"])
    folder = opened.sounds.absolute()
    before = f"{LOCAL}{quote(folder.name)}/" if audio_url is None else audio_url
    wanted = _suspects(audit / SUSPECTS, count)
    names = {row["clip_id"] for row in wanted}
    stored = opened.rows(min(opened.sample_rates))
    rows = [number for number, name in enumerate(stored["clip_id"].to_pylist()) if name in names]
    clips = {clip["clip_id"]: clip for clip in stored.take(np.array(rows, np.int64)).to_pylist()}
    if lost := [row["clip_id"] for row in wanted if row["clip_id"] not in clips]:
        raise ManifestError(str(audit / SUSPECTS), [f"clip {name!r} is not in {store}" for name in lost])
    tasks = [_task(row, clips[row["clip_id"]], info.label_separator, before) for row in wanted]
    interface = out.with_suffix(".xml")
    files.write_text(interface, _interface(info.labels.names, info.several))
    files.write_text(out, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    return len(tasks), interface


def _suspects(path: Path, first: int) -> list[dict[str, str]]:
    """The rows of so many suspects, the most doubtful."""
    header, lines = read_csv(path)
    require_columns(path, header, SUSPECT_COLUMNS)
    faults, wanted = [], []
    for number, row in lines:
        rank = whole_number(row["rank"])
        if rank is None:
            faults.append(f"row {number}: rank is {row['rank']!r}, not a whole number")
        elif rank <= first:
            wanted.append(row | {"rank": str(rank)})
        try:
            if row["probability"] and not 0 <= float(row["probability"]) <= 1:
                raise ValueError
        except ValueError:
            faults.append(f"row {number}: probability is {row['probability']!r}, not 0 to 1")
    if faults:
        raise ManifestError(str(path), faults)
    return wanted


def _task(row: Mapping[str, str], clip: Mapping[str, Any], separator: str, before: str) -> dict[str, Any]:
    given, suggested = split_text(row["given"], separator), split_text(row["suggested"], separator)
    unlabelled = not given and row["verified"] != "1"
    wrong = float(row["probability"]) if row["probability"] else None
    predictions = [_prediction("suggested by earmark", suggested, wrong)]
    if not unlabelled:
        predictions.insert(0, _prediction("given", given, None if wrong is None else round(1 - wrong, 6)))
    about = [f"given: {'unlabelled' if unlabelled else ', '.join(given) or NONE_CHOICE}"]
    about += [f"wrong with probability {wrong:.0%}"] if wrong is not None else []
    about += [f"suggested: {', '.join(suggested) or NONE_CHOICE}", *([row["reason"]] if row["reason"] else [])]
    if clip["start"] is not None or clip["end"] is not None:
        end = "the end" if clip["end"] is None else f"{clip['end']:g} s"
        about.append(f"the clip is the part from {clip['start'] or 0:g} s to {end}")
    data = {
        SOUND: before + quote(clip["file_name"]),
        "clip_id": row["clip_id"],
        "about": "; ".join(about),
        "rank": int(row["rank"]),
    }
    return {"data": data | {"sha256": clip["content_hash"]}, "predictions": predictions}


def _prediction(name: str, labels: Sequence[str], score: float | None) -> dict[str, Any]:
    choices = {"from_name": CONTROL, "to_name": SOUND, "type": "choices", "value": {"choices": list(labels) or [NONE_CHOICE]}}
    return {"model_version": name, "result": [choices]} | ({} if score is None else {"score": score})


def _interface(labels: Sequence[str], several: bool) -> str:
    """The labelling interface, in Label Studio's XML."""
    choices = "".join(f"    <Choice value={quoteattr(label)}/>\n" for label in (*labels, NONE_CHOICE, UNUSABLE))
    return (
        "<View>\n"
        '  <Header value="$clip_id"/>\n'
        '  <Text name="about" value="$about"/>\n'
        f'  <Audio name="{SOUND}" value="${SOUND}"/>\n'
        f'  <Choices name="{CONTROL}" toName="{SOUND}" choice="{"multiple" if several else "single"}" required="true" showInline="true">\n'
        f"{choices}  </Choices>\n"
        "</View>\n"
    )
