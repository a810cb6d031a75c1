from pathlib import Path

from earmark.tagging.bundle import read_bundle
from earmark.tagging.card_files import HEADING, MOST_ROWS, onnx_files
from earmark.training.onnx_bundle import export_bundle


def test_the_card_has_a_row_for_every_file(finished_run: Path, tmp_path: Path) -> None:
    config = read_bundle(finished_run / "bundle")
    rows = [line for line in onnx_files(config).splitlines() if line.startswith("| logmel")]
    assert [row.split()[1] for row in rows] == ["logmel-fold0.onnx", "logmel-fold1.onnx"]
    card = (finished_run / "bundle" / "README.md").read_text()
    assert f"\n## {HEADING}\n" in card and rows[0] in card
    exported = export_bundle(finished_run, tmp_path / "out")
    new_card = (tmp_path / "out" / "README.md").read_text()
    assert new_card.count(f"## {HEADING}") == 1
    assert onnx_files(exported.config).splitlines()[-1] in new_card
    assert "## How good it is" in new_card  # figures that config.json does not have


def test_eight_bits_say_what_they_cost(finished_run: Path) -> None:
    config = read_bundle(finished_run / "bundle")
    net = config.members[0]
    assert net.proof is not None
    small = net.model_copy(update={"proof": net.proof.model_copy(update={"bits": 8, "points": 0.25, "clips": 400})})
    assert "8 bits: -0.2 points on 400 clips" in onnx_files(config.model_copy(update={"members": [small]}))


def test_a_bundle_without_proofs_has_no_section_and_many_nets_are_counted(finished_run: Path) -> None:
    config = read_bundle(finished_run / "bundle")
    bare = [net.model_copy(update={"onnx": None}) for net in config.members]
    assert onnx_files(config.model_copy(update={"members": bare})) == ""
    many = [config.members[0].model_copy(update={"onnx": f"net{number}.onnx"}) for number in range(MOST_ROWS + 3)]
    assert onnx_files(config.model_copy(update={"members": many})).endswith("… and 3 more.")
