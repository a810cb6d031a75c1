"""Independent truth: exports as Label Studio writes them (JSON, JSON-MIN), and what its guide says that tasks are to be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from earmark.data.label_studio import read_export, write_tasks
from earmark.data.store import Store
from earmark.errors import EarmarkError, ManifestError, StoreError


def choices(*texts: str, name: str = "labels", **value: Any) -> dict[str, Any]:
    return {
        "id": "gKq3vPz0aB",
        "type": "choices",
        "value": {"choices": list(texts), **value},
        "origin": "manual",
        "to_name": "audio",
        "from_name": name,
    }


def annotation(*result: dict[str, Any], who: Any = 3, when: str = "2026-03-09T22:16:08.728378Z", **more: Any) -> dict[str, Any]:
    about = {"created_at": "2026-03-09T22:10:00.000000Z", "updated_at": when, "lead_time": 4.288, "ground_truth": False}
    return {"id": 1001, "completed_by": who, "result": list(result), "was_cancelled": False, **about, **more}


def task(number: int, clip_id: str, *annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    rest = {"predictions": [], "meta": {}, "created_at": "2026-03-01T08:00:00.0Z", "inner_id": number, "total_annotations": 1}
    url = "/data/local-files/?d=birds/a.wav"
    return {
        "id": number,
        "annotations": list(annotations),
        "drafts": [],
        "data": {"audio": url, "clip_id": clip_id, **data},
        **rest,
    }


def record(number: int, clip_id: str, annotator: Any = 3, **chosen: Any) -> dict[str, Any]:
    """A record of JSON-MIN: its keys are in this order."""
    about = {
        "annotation_id": 70 + number,
        "created_at": "2026-03-09T22:10:00.000000Z",
        "updated_at": "2026-03-09T22:16:08.728378Z",
        "lead_time": 3.5,
    }
    data = {"audio": "/data/local-files/?d=birds/a.wav", "clip_id": clip_id, "label": "what the data set said"}
    return {**data, "id": number, **chosen, "annotator": annotator, **about}


def written(folder: Path, content: Any) -> Path:
    (folder / "export.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / "export.json"


def decided(path: Path) -> dict[str, tuple[Any, ...]]:
    read = read_export(path)
    assert not read.faults
    return {said.clip_id: (said.decision, said.by, said.when, said.disagrees) for said in read.corrections}


WHEN = "2026-03-09T22:16:08Z"


def test_json(tmp_path: Path) -> None:
    rating = {"id": "x", "type": "rating", "value": {"rating": 3}, "to_name": "audio", "from_name": "sure"}
    tasks = [
        task(1, "a.wav", annotation(choices("dog"))),
        task(2, "b.wav", annotation(choices("dog", "cat"), rating, who={"id": 4, "email": "r4@example.org"})),
        task(3, "c.wav", annotation(choices("none of these"))),
        task(4, "d.wav", annotation(choices("Unusable"))),
        task(5, "e.wav", annotation()),
        task(6, "f.wav", annotation(choices("dog"), was_cancelled=True)),
        task(7, "g.wav"),
        task(8, "h.wav", annotation(choices("remove", name="verdict"))),
    ]
    assert decided(written(tmp_path, tasks)) == {
        "a.wav": ({"dog"}, "user 3", WHEN, ()),
        "b.wav": ({"dog", "cat"}, "r4@example.org", WHEN, ()),
        "c.wav": (frozenset(), "user 3", WHEN, ()),
        "d.wav": (None, "user 3", WHEN, ()),
        "e.wav": (frozenset(), "user 3", WHEN, ()),
        "h.wav": (None, "user 3", WHEN, ()),
    }
    assert read_export(tmp_path / "export.json").words == {"none of these", "unusable", "remove"}


def test_the_latest_of_several_annotations_counts(tmp_path: Path) -> None:
    early, middle, late = (f"2026-03-0{day}T10:00:00.0Z" for day in (1, 2, 3))
    tasks = [
        task(
            1,
            "a.wav",
            annotation(choices("cat"), who=2, when=late),
            annotation(choices("dog"), who=1, when=early),
            annotation(choices("cat"), who=3, when=middle),
            annotation(choices("wolf"), who=2, when=early),  # has thought better of it
        ),
        task(2, "b.wav", annotation(choices("dog", "cat"), who=1), annotation(choices("cat", "dog"), who=2)),
        task(9, "a.wav", annotation(choices("remove"), who=4, when=middle)),
    ]
    assert decided(written(tmp_path, tasks)) == {
        "a.wav": ({"cat"}, "user 2", "2026-03-03T10:00:00Z", ("user 1", "user 4")),
        "b.wav": ({"dog", "cat"}, "user 1", WHEN, ()),
    }


def test_json_min(tmp_path: Path) -> None:
    records = [
        record(1, "a.wav", labels="dog"),
        record(2, "b.wav", labels={"choices": ["dog", "cat"]}, annotator="r4@example.org"),
        record(3, "c.wav"),
        record(4, "d.wav", sure=[{"rating": 4}], verdict="unusable"),
        record(5, "e.wav", annotator="") | {"annotation_id": None, "created_at": None, "updated_at": None},
    ]
    assert decided(written(tmp_path, records)) == {
        "a.wav": ({"dog"}, "user 3", WHEN, ()),
        "b.wav": ({"dog", "cat"}, "r4@example.org", WHEN, ()),
        "c.wav": (frozenset(), "user 3", WHEN, ()),
        "d.wav": (None, "user 3", WHEN, ()),
    }


def test_a_single_task_and_missing_times(tmp_path: Path) -> None:
    alone = task(1, "a.wav", annotation(choices("dog"), who=None, when="some day") | {"created_at": None}, sha256="AB")
    path = written(tmp_path, alone)
    assert decided(path) == {"a.wav": ({"dog"}, "export.json", "", ())}
    assert read_export(path).corrections[0].sha256 == "ab"
    assert decided(written(tmp_path, [])) == {}


def test_all_faults_are_listed_with_their_tasks(tmp_path: Path) -> None:
    region = {"type": "labels", "value": {"start": 0.1, "end": 0.5, "labels": ["dog"]}, "from_name": "label", "to_name": "audio"}
    tasks = [
        task(11, "a.wav", annotation(region)),
        task(12, "b.wav", annotation(choices("dog", start=0.1, end=0.5))),
        task(13, "", annotation(choices("dog"))),
        task(14, "c.wav", annotation(choices("dog", "none of these"))),
        task(15, "d.wav", annotation(choices("dog", " dog"))),
        task(16, "e.wav", annotation({"type": "choices", "value": {"choices": "dog"}})),
        {"id": 17, "annotations": [{}], "data": {"clip_id": "f.wav"}},
        {"id": 18, "annotations": {}},
    ]
    whole = "has no choices for the whole clip (regions and other kinds of annotation are not read)"
    assert read_export(written(tmp_path, tasks)).faults == (
        f"task 11: {whole}",
        f"task 12: {whole}",
        "task 13: its data name no clip: clip_id, clip or file_name is needed among them",
        "task 14: chooses 'dog' and 'none of these', which cannot both be",
        "task 15: label 'dog' stands 2 times",
        "task 16: its choices are no list of texts",
        "task 17: an annotation has no result",
        "task 18: has no data and annotations, as a task of Label Studio has",
    )
    assert read_export(written(tmp_path, [record(1, "a.wav", label_regions=[{"start": 0.1, "labels": ["dog"]}])])).faults == (
        f"task 1: {whole}",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 9999, "is not JSON: it is nested too deeply"),
        ("3", "is no export of Label Studio: a list of tasks is needed"),
        ("[3]", "is no export of Label Studio: a list of tasks is needed"),
        ('[{"clip_id": "a.wav", "labels": "dog"}]', "its kind must be JSON or JSON-MIN"),
        ('[{"clip_id": "a.wav", "label": "dog", "id": 1, "annotator": 1, "annotation_id": 2}]', "nothing was chosen in any of its"),
        ('[{"id": 7, "clip_id": "a.wav", "labels": "dog", "annotator": 1, "annotation_id": 2}]', "have an id of their own"),
        ('[{"annotator": 1, "clip_id": "a.wav", "id": 1, "labels": "dog"}]', "its kind must be JSON or JSON-MIN"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_export(tmp_path / "export.json")
    with pytest.raises(ManifestError, match="No such file"):
        read_export(tmp_path / "other.json")


def write_audit(folder: Path, store: Store, *rows: str, **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    info = {
        "version": 1,
        "run": "/nowhere",
        "vectors": None,
        "strategy": "By ear.",
        "store": str(store.path.resolve()),
        "store_fingerprint": store.fingerprint,
        "labels": list(store.labels.names),
        "label_separator": ";",
        "several": False,
        "cut": 2,
    }
    (folder / "audit.json").write_text(json.dumps(info | changed))
    header = "rank,clip_id,given,suggested,score,probability,verified,reason\n"
    (folder / "suspects.csv").write_text(header + "".join(row + "\n" for row in rows))
    return folder


@pytest.fixture
def audit(tmp_path: Path, store: Store) -> Path:
    names = store.rows(8000)["clip_id"].to_pylist()
    return write_audit(
        tmp_path / "audit",
        store,
        f"1,{names[3]},whistle,siren,4.2,0.75,0,wrong label",
        f"2,{names[1]},whistle,,1.0,0.6,0,none of these",
        f"3,{names[2]},,whistle;siren,,,0,unlabelled",
        f"4,{names[5]},,siren,-3.0,0.1,1,",
    )


def test_suspects_become_tasks_with_two_predictions(audit: Path, store: Store, tmp_path: Path) -> None:
    clips = {clip["clip_id"]: clip for clip in store.rows(8000).to_pylist()}
    names = list(clips)
    count, interface = write_tasks(audit, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert (count, interface, len(tasks)) == (2, tmp_path / "tasks.xml", 2)
    folder = store.sounds.name
    assert tasks[0] == {
        "data": {
            "audio": f"/data/local-files/?d={folder}/{clips[names[3]]['file_name']}",
            "clip_id": names[3],
            "about": "given: whistle; wrong with probability 75%; suggested: siren; wrong label",
            "rank": 1,
            "sha256": clips[names[3]]["content_hash"],
        },
        "predictions": [
            {
                "model_version": "given",
                "result": [{"from_name": "labels", "to_name": "audio", "type": "choices", "value": {"choices": ["whistle"]}}],
                "score": 0.25,
            },
            {
                "model_version": "suggested by earmark",
                "result": [{"from_name": "labels", "to_name": "audio", "type": "choices", "value": {"choices": ["siren"]}}],
                "score": 0.75,
            },
        ],
    }
    assert tasks[1]["predictions"][1]["result"][0]["value"] == {"choices": ["none of these"]}
    write_tasks(audit, tmp_path / "tasks.json", first=4, audio_url="https://sounds.example.org/")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["about"] for task in tasks[2:]] == [
        "given: unlabelled; suggested: whistle, siren; unlabelled",
        "given: none of these; wrong with probability 10%; suggested: siren",
    ]
    assert [[made["model_version"] for made in task["predictions"]] for task in tasks[2:]] == [
        ["suggested by earmark"],
        ["given", "suggested by earmark"],
    ]
    assert all("score" not in made for made in tasks[2]["predictions"])
    assert tasks[0]["data"]["audio"] == f"https://sounds.example.org/{clips[names[3]]['file_name']}"


@pytest.mark.parametrize("several", [False, True])
def test_the_interface_has_a_choice_for_each_class(audit: Path, store: Store, tmp_path: Path, several: bool) -> None:
    write_audit(audit, store, labels=['<script>"&', *store.labels.names], several=several)
    view = ElementTree.parse(write_tasks(audit, tmp_path / "tasks.json")[1]).getroot()
    control = view.find("Choices")
    assert control is not None
    assert (control.get("name"), control.get("toName")) == ("labels", "audio")
    assert (control.get("choice"), control.get("required")) == ("multiple" if several else "single", "true")
    shown = [choice.get("value") for choice in control]
    assert shown == ['<script>"&', *store.labels.names, "none of these", "unusable"]
    sound = view.find("Audio")
    assert sound is not None and (sound.get("name"), sound.get("value")) == ("audio", "$audio")


def test_what_a_team_chooses_comes_back(audit: Path, tmp_path: Path) -> None:
    """Label Studio keeps the data of a task, and an annotation has the shape of a prediction."""
    write_tasks(audit, tmp_path / "tasks.json", first=4)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for number, made in enumerate(tasks):
        made |= {"id": number, "annotations": [annotation(*made["predictions"][-1]["result"])]}
    read = read_export(written(tmp_path, tasks))
    assert not read.faults
    assert [said.decision for said in read.corrections] == [{"siren"}, frozenset(), {"whistle", "siren"}, {"siren"}]
    assert [said.clip_id for said in read.corrections] == [made["data"]["clip_id"] for made in tasks]
    assert [said.sha256 for said in read.corrections] == [made["data"]["sha256"] for made in tasks]


def test_a_rank_that_a_spreadsheet_made_a_decimal_number(audit: Path, store: Store, tmp_path: Path) -> None:
    names = store.rows(8000)["clip_id"].to_pylist()
    write_audit(audit, store, f"2.0,{names[1]},whistle,,1.0,0.6,0,", f"3.0,{names[3]},whistle,siren,0.9,0.5,0,")
    assert write_tasks(audit, tmp_path / "tasks.json")[0] == 1
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert (task["data"]["rank"], task["data"]["clip_id"]) == (2, names[1])


def test_no_task_is_written_where_something_is_wrong(audit: Path, store: Store, tmp_path: Path) -> None:
    def refused(message: str, out: str = "tasks.json", error: type[Exception] = ManifestError, first: int | None = None) -> None:
        with pytest.raises(error, match=message):
            write_tasks(audit, tmp_path / out, first)
        assert not list(tmp_path.glob("tasks*"))

    refused("does not end in .json", "tasks.csv")
    write_audit(audit, store, "1,nowhere.wav,a,b,1,0.5,0,")
    refused("clip 'nowhere.wav' is not in")
    write_audit(audit, store, "x,a.wav,a,b,1,0.5,0,", "2,b.wav,a,b,1,2,0,", "3,b.wav,a,b,1,x,0,")
    refused("row 1: rank is 'x', not a whole number; row 2: probability is '2', not 0 to 1; row 3: probability is 'x'")
    write_audit(audit, store, cut=0)
    refused("proposes to hear no clip: --first")
    write_audit(audit, store, labels=["a", "Remove"])
    refused("a class is called 'Remove'")
    write_audit(audit, replace(store, fingerprint="other"))
    refused("was prepared anew since", error=StoreError)
    write_audit(audit, replace(store, path=tmp_path / "gone"))
    refused("is no store", error=StoreError)
    (audit / "audit.json").write_text("{}")
    refused("audit.json is damaged", error=EarmarkError)
    (audit / "audit.json").unlink()
    refused("is not the folder of an audit", error=EarmarkError)
