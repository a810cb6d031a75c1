import os
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.runtime import first_line, open_session
from tests.embedding.models import write_model


def test_nothing_is_reported_and_no_mark_is_left(tmp_path: Path) -> None:
    """ONNX Runtime's mark of the machine is a file ``.ses`` among the temporary files."""
    model = write_model(tmp_path / "model.onnx")
    (tmp_path / "room").mkdir()
    own = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = f"from pathlib import Path; from earmark.runtime import open_session; open_session(Path({str(model)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**own, "TMPDIR": str(tmp_path / "room")})
    assert not list((tmp_path / "room").iterdir())


def test_what_is_no_model_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        open_session(tmp_path / "no.onnx")
    assert first_line(RuntimeError("[ONNXRuntimeError] : 7 : INVALID : it is no model\nmore")) == "it is no model"
