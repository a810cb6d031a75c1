import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earmark.assess.audit_page import CLASS_ROWS, DUPLICATE_ROWS, HEARD, IN_SIGHT, noise_bars, promise_words, write_audit_page
from earmark.assess.audit_result import Audit, ClassNoise, NoiseMixUp, Promise, Suspects
from earmark.assess.duplicates import Duplicate
from earmark.data.store import Store
from earmark.labels import LabelSet
from tests.assess.test_report import HOSTILE, Links, clip_set

pytestmark = pytest.mark.slow  # together they take seconds

NAN = float("nan")


def audit_of(
    probability: list[float],
    verified: list[bool] | None = None,
    clip_id: list[str] | None = None,
    names: tuple[str, ...] = ("a", "b", "c"),
    **more: object,
) -> Audit:
    """An audit of clips in this order; a clip without a probability is unlabelled."""
    count, shares = len(probability), np.array(probability, float)
    none = np.isnan(shares)
    ids = np.array(clip_id or [f"clip {i}" for i in range(count)])
    suspects = Suspects(
        ids,
        [() if none[i] else (names[i % len(names)],) for i in range(count)],
        [(names[(i + 1) % len(names)],) for i in range(count)],
        np.log(np.maximum(shares, 1e-9) / np.maximum(1 - shares, 1e-9)),
        shares,
        np.array(verified if verified is not None else [False] * count, bool),
        [("unlabelled",) if none[i] else ("wrong label",) if shares[i] > 0.5 else () for i in range(count)],
    )
    unverified = suspects.unverified
    found = np.cumsum(shares[unverified])
    curve = [Promise(n + 1, float(found[n]), 0.8 * float(found[n]), min(1.2 * float(found[n]), n + 1)) for n in range(len(found))]
    whole = curve[-1] if curve else None
    made = Audit(Path("run"), Path("store"), "Nets judge.", False, suspects, curve[1:3], curve, whole, [], [], [], 3, [])
    return replace(made, **more)  # type: ignore[arg-type]


STORE = Store(Path("store"), "folder", "sounds", (16000,), LabelSet(("a", "b", "c")), 3, 0, "f", "")


def page_of(audit: Audit, folder: Path, names: tuple[str, ...] = ("a", "b", "c"), store: Store = STORE) -> str:
    count = len(audit.suspects)
    sounds = clip_set(np.eye(len(names), dtype=bool)[np.arange(count) % len(names)], names, audit.suspects.clip_id.tolist())
    folder.mkdir(exist_ok=True)
    return write_audit_page(folder, audit, sounds, store).read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    return page.split(f'<section id="{name}">')[1].split("</section>")[0]


def ids(text: str) -> list[str]:
    return re.findall(r'<span class="id">(.*?)</span>', text)


def test_the_page_is_one_file_and_says_how_many_are_wrong(tmp_path: Path) -> None:
    page = page_of(audit_of([0.9, 0.8, 0.6, 0.2, 0.1], notes=["Few clips."]), tmp_path)
    links = Links()
    links.feed(page)
    assert all(link.startswith(("data:", "#")) for link in links.found)
    assert "<script" not in page
    assert not re.search(r"@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert "Of 5 unverified clips, about <b>3</b> (2–3) probably have wrong labels." in page
    assert "Of the first 2 about 2 (1–2) are wrong." in page
    assert "<p>Nets judge.</p>" in page
    assert '<p class="warn">Few clips.</p>' in page
    assert "after 3 clips" in page
    assert 'class="mark"' in page


def test_unverified_verified_and_unlabelled_clips_have_lists_of_their_own(tmp_path: Path) -> None:
    page = page_of(audit_of([0.95, 0.9, 0.7, 0.4, 0.3, NAN, NAN], [False, True, False, True, False, False, False]), tmp_path)
    suspects = section(page, "suspects")
    assert ids(suspects) == ["clip 0", "clip 2", "clip 4"]
    assert ids(section(page, "verified")) == ["clip 1"]  # the other is not in doubt
    assert ids(section(page, "unlabelled")) == ["clip 5", "clip 6"]
    assert re.findall(r">([^<>]+ %) likely wrong", suspects) == ["95 %", "70 %", "30 %"]
    first = suspects.split("<li>")[1]
    assert re.search(r'<b>a</b>.*aria-label="suggested:">→</span>.*<b>b</b>', first, re.S)
    assert '<span class="tag">wrong label</span>' in first
    assert "likely wrong" not in section(page, "unlabelled")


def test_each_suspect_has_a_picture_and_a_sound(tmp_path: Path) -> None:
    page = page_of(audit_of([0.9, 0.8]), tmp_path)
    pictures = re.findall(r'src="data:image/png;base64,(.*?)"', page)
    assert len(pictures) == page.count("<audio") == 2
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0]))).size == (320, 96)
    assert page.count('alt="Spectrogram of clip') == 2


def test_of_many_suspects_the_first_are_on_the_page(tmp_path: Path) -> None:
    count = 2 * HEARD
    audit = audit_of([0.9] * count + [0.9] * count + [NAN] * count, [False] * count + [True] * count + [False] * count)
    page = page_of(audit, tmp_path)
    assert len(ids(section(page, "suspects"))) == HEARD
    assert len(ids(section(page, "suspects").split("<details>")[0])) == IN_SIGHT
    assert len(ids(section(page, "verified"))) == len(ids(section(page, "unlabelled"))) == IN_SIGHT
    assert len(page) < 5_000_000


def test_where_the_nets_agree_there_is_no_arrow(tmp_path: Path) -> None:
    audit = audit_of([0.3])
    page = page_of(replace(audit, suspects=replace(audit.suspects, suggested=[("a",)])), tmp_path)
    assert "→" not in section(page, "suspects").split("<li>")[1]
    page = page_of(replace(audit, suspects=replace(audit.suspects, suggested=[()])), tmp_path)
    assert "<b>none of these</b>" in section(page, "suspects")


def test_classes_are_listed_from_the_noisiest_and_unknown_ones_last(tmp_path: Path) -> None:
    classes = [
        ClassNoise("quiet", 100, 20, 0.02, 0.0, 0.05),
        ClassNoise("unsure", 4, 0, NAN, NAN, NAN, "no verified clip"),
        ClassNoise("loud", 50, 30, 0.15, 0.1, 0.2),
    ]
    bars, most = noise_bars(classes)
    assert [(bar.noise.label, bar.bar, bar.low, bar.high) for bar in bars] == [
        ("loud", 75.0, 50.0, 100.0),
        ("quiet", 10.0, 0.0, 25.0),
        ("unsure", 0.0, 0.0, 0.0),
    ]
    assert most == 0.2
    text = section(page_of(audit_of([0.5], classes=classes), tmp_path), "classes")
    assert re.findall(r'class="name">(\w+)</span>', text) == ["class", "loud", "quiet", "unsure"]
    assert "no verified clip" in text
    assert "unknown" in text
    assert noise_bars([]) == ([], 0.1)


def test_mix_ups_and_duplicates_are_told(tmp_path: Path) -> None:
    duplicates = [
        Duplicate("one recording", ("x", "y"), (0, 1), ("a", "b"), True, True),
        Duplicate("near-duplicate", tuple(f"copy {i}" for i in range(9)), (-1, 2), ("a",), True, False),
    ]
    mix_ups = [NoiseMixUp("rain", "sea", 0.25, 6.0), NoiseMixUp("", "sea", 0.1, 2.4)]
    page = page_of(audit_of([0.5], duplicates=duplicates, mix_ups=mix_ups), tmp_path)
    told = section(page, "duplicates")
    assert "1 set of clips that are the same sound" in told
    assert "test, 2" in told
    assert "and 5 more" in told
    assert told.count(">two folds</span>") == 2
    assert told.count(">two labels</span>") == 1
    rows = re.findall(r"<tr><td.*?</tr>", section(page, "mix-ups"))
    assert ["25 %" in rows[0], "none of these" in rows[1]] == [True, True]
    assert "None: no clip is a copy" in section(page_of(audit_of([0.5]), tmp_path), "duplicates")


@pytest.mark.filterwarnings("error")
def test_hostile_names_are_escaped_and_bounded(tmp_path: Path) -> None:
    count = len(HOSTILE)
    plain = tuple(f"class {k}" for k in range(count))
    pages = []
    for names, folder in ((plain, "plain"), (HOSTILE, "hostile")):
        more = {
            "classes": [ClassNoise(name, 5, 5, 0.2, 0.1, 0.3, name) for name in names],
            "mix_ups": [NoiseMixUp(name, name, 0.2, 2.0) for name in names],
            "duplicates": [Duplicate("same file", (name, f"{name}2"), (0,), names, False, True) for name in names],
            "strategy": names[0],
            "notes": list(names),
        }
        clip_id = [f"{name}{i}" for i, name in enumerate(names)]
        probability = [0.9, 0.8, NAN] * (count // 3) + [0.7] * (count % 3)
        pages.append(
            page_of(
                audit_of(probability, [True, False, False] * (count // 3) + [False] * (count % 3), clip_id, names, **more),
                tmp_path / folder,
                names,
            )
        )
    tags = []
    for page in pages:
        reader = Links()
        reader.feed(page)
        tags.append(reader.tags)
    assert tags[0] == tags[1]
    assert "<script>alert" not in pages[1]
    assert all(char.isprintable() or char == "\n" for char in pages[1])
    assert len(pages[1]) < len(pages[0]) + 100_000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("probability", "verified", "said"),
    [
        ([], [], "No clip has unverified labels."),
        ([0.2], [True], "No clip has unverified labels."),
        ([0.9], [True], "Some that were checked are in doubt all the same."),
        ([NAN], [False], "1 clip without labels."),
        ([0.5], [False], "Of 1 unverified clip, about"),
    ],
    ids=["no clips", "all verified", "verified in doubt", "none labelled", "one clip"],
)
def test_the_smallest_audits_have_a_page(probability: list[float], verified: list[bool], said: str, tmp_path: Path) -> None:
    page = page_of(audit_of(probability, verified), tmp_path)
    assert said in page
    assert page.rstrip().endswith("</html>")


def test_what_cannot_be_promised_is_not(tmp_path: Path) -> None:
    page = page_of(audit_of([0.9, 0.5], promise=[], curve=[], whole=None), tmp_path)
    assert "How many labels are wrong cannot be said here" in page
    assert "What listening finds" not in page


def test_long_tables_end_somewhere(tmp_path: Path) -> None:
    classes = [ClassNoise(f"class {k:05}", 9, 9, 0.2, 0.1, 0.3) for k in range(CLASS_ROWS + 40)]
    duplicates = [Duplicate("same file", (f"x{k}", f"y{k}"), (0,), ("a",), False, False) for k in range(DUPLICATE_ROWS + 30)]
    page = page_of(audit_of([0.5], classes=classes, duplicates=duplicates), tmp_path)
    assert "and 40 more, in <code>audit.json</code>" in page
    assert "and 30 more, in <code>audit.json</code>" in page


def test_what_to_do_next_has_commands_that_fit_the_store(store: Store, tmp_path: Path) -> None:
    audit = replace(audit_of([0.5]), run=tmp_path / "my run", store=store.path)
    page = page_of(audit, tmp_path / "found", store=store)
    commands = [re.sub(r"</?span>", "", text) for text in re.findall(r"<pre>(.*?)</pre>", page)]
    assert [command.split()[1] for command in commands] == ["review", "apply-corrections", "prepare", "train", "compare"]
    rates = ",".join(map(str, store.sample_rates))
    assert f"--sample-rate {rates}" in commands[2]
    assert "my run/recipe.yaml&#39; --store" in commands[3]
    sounds = Path(store.root).parent if store.source == "manifest" else Path(store.root)
    assert "corrected-found.csv" in commands[1]
    assert sounds.name in commands[1]


def test_the_page_has_nothing_wider_than_a_phone_outside_of_a_box(tmp_path: Path) -> None:
    duplicates = [Duplicate("same file", ("x", "y"), (0,), ("a",), False, False)]
    page = page_of(audit_of([0.5], duplicates=duplicates, mix_ups=[NoiseMixUp("a", "b", 0.1, 1.0)]), tmp_path)
    loose = re.sub(r'<div class="scroll">.*?</div>', "", page.split("<body>")[1], flags=re.S)
    assert "<table" not in loose
    assert not re.search(r"<svg[^>]* width=", loose)


def test_promises_are_in_words() -> None:
    assert promise_words(Promise(2000, 1234.4, 1100.6, 1300.2)) == "Of the first 2,000 about 1,234 (1,101–1,300) are wrong."
