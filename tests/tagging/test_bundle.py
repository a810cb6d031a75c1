import json
from pathlib import Path


def test_a_bundle_has_no_pickle_and_its_card_says_what_it_is(finished_run: Path) -> None:
    bundle = finished_run / "bundle"
    names = sorted(path.name for path in bundle.iterdir())
    assert names == ["README.md", "config.json", "logmel-fold0.safetensors", "logmel-fold1.safetensors"]
    config = json.loads((bundle / "config.json").read_text())
    assert config["labels"][:2] == ["bell", "chirps"]
    assert {(m["fold"], m["activation"], m["weight"], tuple(m["views"])) for m in config["members"]} == {
        (0, "softmax", 0.5, ("whole",)),
        (1, "softmax", 0.5, ("whole",)),
    }
    card = (bundle / "README.md").read_text()
    assert "10 classes" in card
    assert "2 nets" in card
