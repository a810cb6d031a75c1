"""The model card: what it says, that the Hub can read it, and that no label breaks it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from earmark.tagging.bundle import BundleConfig, Calibration, Thresholds, read_bundle
from earmark.tagging.card import ClassCounts, Figures, Kept, escaped, with_section, write_card

HOSTILE = [
    "a|b",
    "a\\|b",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "&lt;b&gt;",
    "*bold* _so_ __so__ ~~gone~~",
    "[link](http://x.y)",
    "![picture](x.png)",
    "# heading",
    "drinking_sipping",
    "--- | ---",
    "$$x$$ \\(y\\)",
    "Bellen, ‘Hund’ – 犬 é",
    "ends with \\",
]


def parsed(card: str) -> tuple[dict[str, Any], list[Any]]:
    """The fields at the top of a card, and the parts of its Markdown as another library reads them."""
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)


def text_of(inline: Any) -> str:
    assert {child.type for child in inline.children} <= {"text", "text_special", "code_inline", "softbreak"}, inline.content
    return "".join(child.content for child in inline.children)


def table_under(heading: str, tokens: list[Any]) -> list[list[str]]:
    """The cells of the first table after a heading, without its first row."""
    start = next(i for i, token in enumerate(tokens) if token.type == "heading_open" and tokens[i + 1].content == heading)
    rows: list[list[str]] = []
    for i, token in enumerate(tokens[start:], start):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            rows[-1].append(text_of(tokens[i + 1]))
        elif token.type == "table_close":
            return rows[1:]
    raise AssertionError(f"no table under {heading}")


@pytest.fixture
def config(finished_run: Path) -> BundleConfig:
    """The configuration of a bundle with ten classes, and with neither calibration nor thresholds."""
    data = json.loads((finished_run / "bundle/config.json").read_text())
    return BundleConfig.model_validate({**data, "calibration": None, "thresholds": None})


def tuned(config: BundleConfig) -> BundleConfig:
    classes = len(config.labels)
    thresholds = Thresholds(clips=780, f1=[0.4] * classes, precisions=[0.9], scores=[[0.5]] * classes)
    return config.model_copy(update={"calibration": Calibration(temperature=0.61, clips=780), "thresholds": thresholds})


def test_the_cards_top_is_what_the_hub_reads(config: BundleConfig, tmp_path: Path) -> None:
    write_card(tmp_path, config.model_copy(update={"licence": 'CC: "BY" #4.0 — all'}))
    fields, _ = parsed((tmp_path / "README.md").read_text())
    assert fields == {
        "license": "other",
        "license_name": 'that of the data: CC: "BY" #4.0 — all',
        "library_name": "earmark",
        "pipeline_tag": "audio-classification",
        "tags": ["earmark", "audio", "audio-classification", "sound-tagging"],
    }
    write_card(tmp_path, config.model_copy(update={"licence": ""}))
    fields, _ = parsed((tmp_path / "README.md").read_text())
    assert not {"license", "license_name"} & set(fields)


def test_the_hubs_own_library_takes_the_card(config: BundleConfig, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    write_card(tmp_path, config.model_copy(update={"licence": "CC BY 4.0"}))
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == ("earmark", "audio-classification", "other")


def test_no_label_breaks_the_card(config: BundleConfig, tmp_path: Path) -> None:
    labels = [*HOSTILE, "x"]
    config = config.model_copy(update={"labels": labels, "licence": "---\n a: [", "recipe": "a_b"})
    write_card(tmp_path, config)
    fields, tokens = parsed((tmp_path / "README.md").read_text())
    assert fields["library_name"] == "earmark"
    inline = [token for token in tokens if token.type == "inline"]
    assert ", ".join(labels) in [text_of(token) for token in inline]
    rows = [ClassCounts(9, 8, 6)] * len(labels)
    write_card(tmp_path, config, Figures(classes=rows))
    cells = table_under("Classes", parsed((tmp_path / "README.md").read_text())[1])
    assert [row[0] for row in cells] == labels
    assert all(row[1:] == ["9", "8", "75.0 %", "66.7 %"] for row in cells)


def test_what_a_label_looks_like_stays() -> None:
    assert escaped("drinking_sipping") == "drinking_sipping"
    assert escaped("Bark, dog (big)") == "Bark, dog (big)"


def test_the_card_adds_up_and_names_rates_rule_and_data(config: BundleConfig, tmp_path: Path) -> None:
    first = config.members[0]
    other = first.model_copy(update={"input": first.input.model_copy(update={"sample_rate": 8000}), "parameters": 1000})
    data = config.data.model_copy(update={"clips": 80, "verified": 30})
    config = config.model_copy(
        update={"members": [first.model_copy(update={"parameters": 2345}), other], "licence": "", "data": data}
    )
    write_card(tmp_path, config, Figures(metrics=["out-of-fold MAP@3: 0.5"], limits=["labels leaked"]))
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert "# tiny" in lines
    nets = "- 2 nets (densenet_se on logmel), 3,345 parameters in all, at 8,000 Hz, 16,000 Hz; combined by the geometric mean of their scores"
    assert nets in lines
    assert (
        "- manifest: 80 clips, 30 of them verified by a person; the labels of the other 50 may be wrong, and the model was made to learn in spite of that"
        in [line.replace(config.data.source, "manifest") for line in lines]
    )
    assert "- licence of the data: not known" in lines
    assert "- out-of-fold MAP@3: 0.5" in lines
    assert "- labels leaked" in lines


def test_thresholds_are_told_with_what_they_keep(config: BundleConfig, tmp_path: Path) -> None:
    kept = [Kept(None, 0.93, 0.91, 0.92, 0.97, 0), Kept(0.9, None, 0.0, 0.0, 0.0, 10)]
    write_card(tmp_path, tuned(config), Figures(kept=kept))
    card = (tmp_path / "README.md").read_text()
    rows = table_under("How good it is", parsed(card)[1])
    assert rows == [
        ["auto", "93.0 %", "91.0 %", "0.920", "97.0 %", "0 of 10"],
        ["precision:0.9", "–", "0.0 %", "0.000", "0.0 %", "10 of 10"],
    ]
    assert "a temperature of 0.61 (the nets were not sure enough), fitted on the scores of 780 verified clips" in card
    assert "--threshold precision:0.9" in card


def test_a_model_without_thresholds_promises_none(config: BundleConfig, tmp_path: Path) -> None:
    write_card(tmp_path, config)
    card = (tmp_path / "README.md").read_text()
    assert "not measured: too few clips are verified" in card
    assert "THIS_FOLDER --threshold" not in card
    assert "## How good it is" not in card


def test_classes_that_hardly_anybody_heard_are_counted(config: BundleConfig, tmp_path: Path) -> None:
    write_card(tmp_path, config, Figures(classes=[ClassCounts(4, 0, 0), ClassCounts(0, 0, 0), *[ClassCounts(5, 5, 5)] * 8]))
    card = (tmp_path / "README.md").read_text()
    assert "- 2 of the classes have fewer than five verified clips" in card
    assert table_under("Classes", parsed(card)[1])[:2] == [
        [config.labels[0], "4", "0", "–", "0.0 %"],
        [config.labels[1], "0", "0", "–", "–"],
    ]


def test_a_section_comes_last_or_takes_the_place_of_its_like(config: BundleConfig, tmp_path: Path) -> None:
    write_card(tmp_path, config, sections={"Files": "| a |\n|---|"})
    card = (tmp_path / "README.md").read_text()
    assert card.endswith("\n## Files\n\n| a |\n|---|\n")
    changed = with_section(card, "How to use it", "Read on.")
    assert "earmark tag" not in changed and "## How to use it\n\nRead on.\n\n## What it is\n" in changed
    assert with_section(changed, "Files", "") == changed[: changed.index("\n## Files")].rstrip() + "\n"


def test_the_card_of_a_run_has_its_figures(finished_run: Path) -> None:
    """The run's verified clips are too few for thresholds."""
    card = (finished_run / "bundle/README.md").read_text()
    config = read_bundle(finished_run / "bundle")
    metrics = json.loads((finished_run / "metrics.json").read_text())
    for name in ("MAP@3", "accuracy", "lwlrap"):
        figure = metrics[name.lower()]
        assert f"- out-of-fold {name} on {figure['clips']} verified clips: {figure['value']:.3f} (95 % interval " in card
    assert config.thresholds is None and config.data.verified is not None
    assert 0 < config.data.verified < 80
    assert f"80 clips, {config.data.verified} of them verified by a person" in card
