"""What earmark says to bad and odd inputs: the command, the line on stderr, the exit status. See `cases`."""

import pytest

pytest.register_assert_rewrite("tests.bad_inputs.cases")  # so that its checks show what they compared
