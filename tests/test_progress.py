import pytest

from earmark.progress import progress_bar


def test_titles_and_notes_of_any_text_stay_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of members come from recipes."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # else there is no bar where there is no terminal
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar("{0} [red]\x1b]0;title\x07", 2) as bar:
        bar.update(1, "{x} [bold]\x1b[2Jnote")
    shown = capsys.readouterr().err
    assert r"{0} [red]\x1b]0;title\x07" in shown
    assert r"{x} [bold]\x1b[2Jnote" in shown
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
