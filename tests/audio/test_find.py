from earmark import audio


def test_files_are_found_once_in_order_through_links_but_not_in_circles(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "b" / "c.wav").mkdir(parents=True)
    for name in ("z.wav", "b/y.FLAC", "b/c.wav/x.ogg", "b/notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    found = [path.relative_to(tmp_path).as_posix() for path in audio.find_files(tmp_path)]
    assert found == ["b/c.wav/x.ogg", "b/y.FLAC", "loop.wav", "z.wav"]
