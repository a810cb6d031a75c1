"""Manifests, published tables, and what corrupts the labels of one."""

from earmark.cli import run
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.store import Store
from tests.bad_inputs.arrange import UNVERIFIED, all_of, read_rows, sound, text, traces_of_store, write_wav
from tests.bad_inputs.cases import CORRUPT, PREPARE, PREPARE_MADE, Capture, Case, Places, check, check_request, refused, table

REMEDY = "put the manifest above the sounds, and write the paths from its folder down"


def bad_manifest(name: str, content: str | bytes, fault: str) -> Case:
    return Case(name, PREPARE, f"error: {{here}}/m.csv: {fault}", arrange=all_of(text("m.csv", content), sound("a.wav", "b.wav")))


def bad_cell(column: str, cell: str, fault: str) -> Case:
    return bad_manifest(f"{column} is {cell}", f"file_name,labels,{column}\na.wav,x,{cell}\nb.wav,y,\n", f"row 1: {fault}")


BAD_MANIFESTS = (
    bad_manifest("empty file", "", "is empty"),
    bad_manifest("header only", "file_name,labels\n", "no clips"),
    bad_manifest("not UTF-8", b"file_name,labels\n\xff.wav,x\n", "is not UTF-8 text (byte 17)"),
    bad_manifest("binary", bytes(range(128, 256)), "is not UTF-8 text (byte 0)"),
    bad_manifest("unclosed quote", 'file_name,labels\n"a.wav,x\n', "is not CSV (line 2: unexpected end of data)"),
    bad_manifest("cell beyond sense", f"file_name,labels\na.wav,{'x' * 200000}\n", "is not CSV (line 2: <words of csv>)"),
    bad_manifest("missing column", "file_name,label\na.wav,x\n", "no column 'labels'; it has 'file_name', 'label'"),
    bad_manifest(
        "both columns missing",
        "name;label\na.wav;x\n",
        "no column 'file_name'; it has 'name;label'; no column 'labels'; it has 'name;label'",
    ),
    bad_manifest("column twice", "file_name,labels,labels\na.wav,x,y\n", "column 'labels' stands 2 times"),
    bad_manifest(
        "rows of other lengths",
        "file_name,labels\na.wav\nb.wav,x,y\n",
        "row 1: 1 cells under 2 columns; row 2: 3 cells under 2 columns",
    ),
    bad_manifest("duplicate row", "file_name,labels\na.wav,x\nb.wav,y\na.wav,x\n", "clip 'a.wav' stands 2 times"),
    # The same sound in two folds would be trained on and scored.
    bad_manifest("duplicate under another spelling", "file_name,labels\na.wav,x\n./a.wav,y\n", "<words>a.wav<words>"),
    bad_manifest("nothing labelled", "file_name,labels\na.wav,\nb.wav,\n", "no training clip has a label"),
    bad_manifest(
        "label of test clips only", "file_name,labels,split\na.wav,x,train\nb.wav,y,test\n", "label 'y' is in the test split only"
    ),
    bad_manifest(
        "name leaves the folder",
        "file_name,labels\n../a.wav,x\n",
        f"row 1: file_name '../a.wav' is not below the manifest's folder: {REMEDY}",
    ),
    bad_manifest(
        "absolute name", "file_name,labels\n/a.wav,x\n", f"row 1: file_name '/a.wav' is not below the manifest's folder: {REMEDY}"
    ),
    bad_manifest(
        "every name leaves the folder",
        "file_name,labels\n" + "".join(f"../a/{i}.wav,x\n" for i in range(1500)),
        f"row 1: file_name '../a/0.wav' is not below the manifest's folder, nor are 1,499 others: {REMEDY}",
    ),
    bad_manifest("no name", "file_name,labels\n,x\n", "row 1: file_name is empty"),
    bad_manifest("name with a NUL", 'file_name,labels\n"a\0.wav",x\nb.wav,y\n', "row 1: file_name <words>"),
    bad_manifest("a label twice", 'file_name,labels\na.wav,"x, x"\n', "row 1: label 'x' stands 2 times"),
    bad_cell("verified", "maybe", "verified is 'maybe', not 0 or 1"),
    bad_cell("verified", "2", "verified is '2', not 0 or 1"),
    bad_cell("split", "val", "split is 'val', not train or test"),
    bad_cell("fold", "-1", "fold is '-1', not a whole number from 0"),
    bad_cell("fold", "1.5", "fold is '1.5', not a whole number from 0"),
    bad_cell("fold", "99999999999999999999", "fold is '99999999999999999999', not <words>"),
    bad_cell("start", "soon", "start is 'soon', not seconds from 0"),
    bad_cell("start", "-1", "start is -1, not seconds from 0"),
    bad_cell("start", "nan", "start is nan, not seconds from 0"),
    bad_cell("end", "inf", "end is inf, not seconds from 0"),
    bad_manifest("end before start", "file_name,labels,start,end\na.wav,x,3,2\n", "row 1: end 2 is not after start 3"),
    bad_manifest(
        "several faults in several rows",
        "file_name,labels,verified,fold\na.wav,x,perhaps,first\nb.wav,y,1,0\n../c.wav,y,1,0\n",
        "row 1: verified is 'perhaps', not 0 or 1; row 1: fold is 'first', not a whole number from 0; "
        f"row 3: file_name '../c.wav' is not below the manifest's folder: {REMEDY}",
    ),
    bad_manifest(
        "more faults than anybody reads",
        "file_name,labels,fold\n" + "".join(f"{i}.wav,x,zero\n" for i in range(1, 26)),
        "; ".join(f"row {i}: fold is 'zero', not a whole number from 0" for i in range(1, 21)) + "; and 5 more",
    ),
    Case(
        "no Parquet in a Parquet file",
        "prepare manifest {here}/m.parquet {to_store}",
        "error: {here}/m.parquet: not readable as Parquet: <words of pyarrow>",
        arrange=text("m.parquet", "file_name,labels\n"),
    ),
)


@table(*BAD_MANIFESTS)
def test_manifest_is_refused_with_all_its_faults(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)
    assert traces_of_store(places["here"]) == []  # refused before anything is decoded


def parquet_with_commas(places: Places) -> None:
    clips = [Clip("a.wav", ("Bark, loud",), verified=False), Clip("b.wav", ("x",), verified=False)]
    write_manifest(places["here"] / "m.parquet", clips)


BAD_TABLES = (
    refused("not ESC-50", "prepare esc50 {here} {to_store}", "{here}: is not ESC-50: no meta/esc50.csv or esc50.csv"),
    refused(
        "ESC-50 with a bad cell",
        "prepare esc50 {here} {to_store}",
        "{here}/esc50.csv: row 1: target <words>",
        arrange=text("esc50.csv", "filename,fold,target,category,src_file\na.wav,1,x,dog,1\n"),
    ),
    refused(
        "FSDKaggle2018 without a column",
        "prepare fsdkaggle2018 {here} {to_store}",
        "{here}/test_post_competition.csv: no column 'usage'; it has 'fname', 'label'",
        arrange=all_of(
            text("train.csv", "fname,label,manually_verified\na.wav,x,1\n"),
            text("test_post_competition.csv", "fname,label\nb.wav,x\n"),
        ),
    ),
    refused(
        "not FSDKaggle2019",
        "prepare fsdkaggle2019 {here} {to_store}",
        "{here}: is not FSDKaggle2019: no train_curated_post_competition.csv or train_curated.csv in it or in FSDKaggle2019.meta",
    ),
    # Faulty labels that are known.
    refused(
        "prepare: no errata of a manifest",
        PREPARE_MADE + " --no-errata",
        "--no-errata: manifest has no list of faulty labels that could be left as published",
    ),
    refused(
        "prepare: no errata of class folders",
        "prepare folder {here} --no-errata {to_store}",
        "--no-errata: folder has no list of faulty labels that could be left as published",
        arrange=sound("dog/a.wav"),
    ),
    # Labels to be corrupted.
    refused(
        "corrupt: rate above 1",
        CORRUPT + " --rate 2 --out {here}/o.csv",
        "corrupt: rate 2 is not between 0 and 1",
        arrange=UNVERIFIED,
    ),
    refused(
        "corrupt: neither CSV nor Parquet",
        CORRUPT + " --rate 1 --out {here}/o.txt",
        "{here}/o.txt: ends neither in .csv nor in .parquet, so that it is not clear what to write",
        arrange=UNVERIFIED,
    ),
    refused(
        "corrupt: labels that CSV would take apart",
        "data corrupt {here}/m.parquet --kind symmetric --rate 1 --out {here}/o.csv",
        "{here}/o.csv: labels 'Bark, loud': with ',' between them they would be read otherwise<words>",
        arrange=parquet_with_commas,
    ),
    refused("corrupt: negative seed", CORRUPT + " --rate 1 --seed -1 --out {here}/o.csv", "<words>seed<words>", arrange=UNVERIFIED),
    refused(
        "corrupt: nothing unverified",
        CORRUPT + " --rate 1 --out {here}/o.csv",
        "corrupt: no unverified, labelled training clip to corrupt (column verified = 0)",
        arrange=text("m.csv", "file_name,labels\na.wav,x\nb.wav,y\n"),
    ),
)


@table(*BAD_TABLES)
def test_request_is_refused_in_one_line(case: Case, places: Places, capsys: Capture) -> None:
    check_request(case, places, capsys)


NO_MP4, NO_WEBM = (
    f"not readable as audio (by its name {kind}, by its bytes nothing that is known)" for kind in ("MP4", "Matroska")
)
VIDEOS = all_of(text("d/bark/a.m4a", b"ftyp"), text("d/bark/b.webm", b"\x1a\x45"))
FOREIGN_MEDIA = (
    Case(
        "prepare: some",
        "prepare folder {here}/d {to_store}",
        f"skipped: bark/a.m4a: {NO_MP4}\nskipped: bark/b.webm: {NO_WEBM}",
        status=3,
        arrange=all_of(VIDEOS, sound("d/purr/c.wav")),
    ),
    refused(
        "prepare: nothing else",
        "prepare folder {here}/d {to_store}",
        f"none of the 2 clips of {{here}}/d can be used: bark/a.m4a: {NO_MP4}; bark/b.webm: {NO_WEBM}",
        arrange=VIDEOS,
    ),
    Case(
        "tag: some",
        "tag {here}/d --model {bundle} --out {here}/t.csv --format csv",
        f"1 files tagged: {{here}}/t.csv\nskipped: {{here}}/d/bark/a.m4a: {NO_MP4}\nskipped: {{here}}/d/bark/b.webm: {NO_WEBM}",
        status=3,
        arrange=all_of(VIDEOS, sound("d/purr/c.wav")),
    ),
    Case(
        "tag: nothing else",
        "tag {here}/d --model {bundle}",
        f"skipped: {{here}}/d/bark/a.m4a: {NO_MP4}\nskipped: {{here}}/d/bark/b.webm: {NO_WEBM}\n"
        "error: none of the 2 files could be used",
        arrange=VIDEOS,
    ),
)


@table(*FOREIGN_MEDIA)
def test_media_that_cannot_be_read_here_are_named(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)
    ledgers = [path for path in (places["here"] / "store/bad.csv", places["here"] / "t.csv.bad.csv") if path.exists()]
    if case.status == 3:
        [ledger] = ledgers
        assert [row["reason"] for row in read_rows(ledger)] == [NO_MP4, NO_WEBM]


def test_a_warning_stays_one_line(places: Places, capsys: Capture) -> None:
    content = 'file_name,labels,fold,group\na.wav,x,0,"two\nlines"\nb.wav,y,1,"two\nlines"\n'
    said = r"warning: 1 recording lies in more than one published fold, which is kept: two\nlines"
    check(Case("warning", PREPARE, said, status=0, arrange=all_of(text("m.csv", content), sound("a.wav", "b.wav"))), places, capsys)


def test_corrupt_writes_the_parquet_that_it_was_asked_for(places: Places, capsys: Capture) -> None:
    parquet_with_commas(places)
    here = places["here"]
    for made, out in (("m.parquet", "o.parquet"), ("o.parquet", "p.PARQUET")):
        command = ["data", "corrupt", str(here / made), "--kind", "class", "--rate", "1", "--out", str(here / out)]
        assert run(command) == (0 if made == "m.parquet" else 2)  # noise is planted once
    assert "2 of 2 unverified ones with a wrong label" in capsys.readouterr().out
    clips = read_manifest(here / "o.parquet").clips
    assert [(clip.labels, clip.extra["true_labels"]) for clip in clips] == [
        (("x",), ("Bark, loud",)),
        (("Bark, loud",), ("x",)),
    ]
    for clip in clips:
        write_wav(here / clip.file_name)
    assert run(["prepare", "manifest", str(here / "o.parquet"), "--out", str(here / "store"), "--sample-rate", "16000"]) == 0
    rows = Store.open(here / "store").rows(16000).to_pylist()
    assert [(row["labels"], row["true_labels"]) for row in rows] == [(["x"], ["Bark, loud"]), (["Bark, loud"], ["x"])]
