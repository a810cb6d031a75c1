import subprocess
import sys
from pathlib import Path

import pytest

import earmark
from earmark.errors import BundleError, EarmarkError
from earmark.scoring.onnx_scorer import OnnxScorer
from earmark.tagging import opened
from earmark.tagging.bundle import BundleConfig, read_bundle
from earmark.tagging.opened import chosen_runtime
from earmark.tagging.tagger import Tagger


@pytest.fixture
def config(finished_run: Path) -> BundleConfig:
    return read_bundle(finished_run / "bundle")


def only(config: BundleConfig, kept: str) -> BundleConfig:
    """The same bundle with one kind of files."""
    gone = "onnx" if kept == "file" else "file"
    return config.model_copy(update={"members": [net.model_copy(update={gone: None}) for net in config.members]})


def test_onnx_runs_unless_something_needs_torch(config: BundleConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path("here")
    monkeypatch.setattr(opened, "GPUS", ())
    assert chosen_runtime(here, config, "float32", "auto", "auto") == "onnx"
    assert chosen_runtime(here, config, "float32", "cpu", "auto") == "onnx"
    assert chosen_runtime(here, config, "bfloat16", "auto", "auto") == "torch"
    assert chosen_runtime(here, config, "float32", "cuda", "auto") == "torch"
    assert chosen_runtime(here, config, "float32", "auto", "torch") == "torch"
    assert chosen_runtime(here, only(config, "file"), "float32", "auto", "auto") == "torch"
    monkeypatch.setattr(opened, "GPUS", ("/",))  # a GPU is there
    assert chosen_runtime(here, config, "float32", "auto", "auto") == "torch"
    assert chosen_runtime(here, config, "float32", "cpu", "auto") == "onnx"
    assert chosen_runtime(here, config, "float32", "auto", "onnx") == "onnx"
    assert chosen_runtime(here, only(config, "onnx"), "float32", "auto", "auto") == "onnx"


def test_what_cannot_be_is_said(config: BundleConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path("here")
    monkeypatch.setattr(opened, "GPUS", ())
    with pytest.raises(BundleError, match="here has no ONNX files; `earmark export here --out DIR`"):
        chosen_runtime(here, only(config, "file"), "float32", "auto", "onnx")
    with pytest.raises(BundleError, match="--precision bfloat16 needs the nets' weights, and here has ONNX files only"):
        chosen_runtime(here, only(config, "onnx"), "bfloat16", "auto", "auto")
    with pytest.raises(EarmarkError, match="--device cuda needs --runtime torch"):
        chosen_runtime(here, config, "float32", "cuda", "onnx")
    monkeypatch.setattr(opened, "find_spec", lambda _: None)
    with pytest.raises(EarmarkError, match=r"--runtime torch needs torch, which is not installed; pip install 'earmark\[train\]'"):
        chosen_runtime(here, config, "float32", "auto", "torch")
    with pytest.raises(EarmarkError, match="a bundle without ONNX files needs torch"):
        chosen_runtime(here, only(config, "file"), "float32", "auto", "auto")
    monkeypatch.setattr(opened, "GPUS", ("/",))
    assert chosen_runtime(here, config, "float32", "auto", "auto") == "onnx"


def test_both_runtimes_give_the_same_tags(finished_run: Path, rendered: Path) -> None:
    with_onnx, with_torch = earmark.load(finished_run), Tagger.load(finished_run, runtime="torch")
    assert all(isinstance(scorer, OnnxScorer) for scorer in with_onnx.scorers)
    for path in sorted((rendered.parent / "audio").glob("*.wav"))[:10]:
        tags, expected = with_onnx.tag(path, top_k=10), with_torch.tag(path, top_k=10)
        assert dict(tags) == pytest.approx(dict(expected), abs=1e-4)


@pytest.mark.slow
def test_tagging_needs_nothing_but_the_base_install(finished_run: Path, rendered: Path) -> None:
    """As in an environment without what the extras bring."""
    sound = sorted((rendered.parent / "audio").glob("*.wav"))[0]
    code = """
import sys
missing = {'torch', 'safetensors', 'pyarrow', 'onnx', 'sklearn', 'jinja2', 'lightning_fabric', 'PIL', 'scipy', 'av'}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.partition('.')[0] in missing else self.finder.find_spec(name, *rest)
sys.meta_path[:] = map(Without, sys.meta_path)
from earmark.cli import run
sys.exit(run(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "tag", str(sound), "--model", str(finished_run), "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4
    done = subprocess.run([*command, "--precision", "bfloat16"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "needs torch, which is not installed" in done.stderr
