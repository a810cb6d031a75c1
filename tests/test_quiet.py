import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from earmark import quiet
if sys.argv[1] == "debug":
    quiet.show_libraries()
print("before", file=sys.stderr)
try:
    with quiet.quiet_libraries():
        os.write(2, b"note of a library\\n")
        print("from Python – ", end="", file=sys.stderr)
        print("a line", file=sys.stderr)
        raise KeyError
except KeyError:
    pass
os.write(2, b"library, after\\n")
print("after", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("how", "heard"),
    [("", "before\nfrom Python – a line\nlibrary, after\nafter\n"), ("debug", "before\nnote of a library\nfrom Python – a line\nlibrary, after\nafter\n")],
)  # fmt: skip
def test_a_library_is_not_heard_and_python_is(how: str, heard: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CODE, how], stderr=subprocess.PIPE, check=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert result.stderr.decode() == heard


def test_a_closed_stream_is_no_fault() -> None:
    code = "import sys; from earmark import quiet\nwith quiet.quiet_libraries(): sys.stdout.write('done')"
    result = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], stdout=subprocess.PIPE, check=True)
    assert result.stdout == b"done"
