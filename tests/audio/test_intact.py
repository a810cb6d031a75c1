from earmark import audio


def test_real_clips_are_not_taken_for_damaged(real_data) -> None:  # type: ignore[no-untyped-def]
    paths = sorted((real_data / "esc50" / "audio").glob("*.ogg"))[::100]
    assert len(paths) == 20
    for path in paths:
        samples, rate = audio.read(path)
        assert rate in (44100, 48000)
        assert samples.shape[1] > rate
