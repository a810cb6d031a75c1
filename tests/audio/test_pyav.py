"""Truth is the tone that PyAV encoded: its frequency, its level and its length."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.errors import AudioError
from tests.audio.media import HERTZ, MEDIA, Medium, write

pytest.importorskip("av")
BY_NAME = {medium.name: medium for medium in MEDIA}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for medium in MEDIA:
        write(folder, medium)
    return folder


def loudest(samples: np.ndarray, rate: int) -> float:
    """The frequency in Hz at which a sound is loudest."""
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples))


def streamed(path: Path, rate: int = 16000) -> tuple[np.ndarray, float]:
    with audio.streamed(path) as stream:
        return np.concatenate([block[rate] for block in stream.mono((rate,))]), stream.seconds


@pytest.mark.parametrize("name", BY_NAME)
def test_the_tone_that_was_encoded_is_there_as_long_as_it_was(name: str, media: Path) -> None:
    medium = BY_NAME[name]
    samples, rate = audio.read(media / name)
    assert (samples.dtype, rate, len(samples)) == (np.float32, medium.rate, medium.channels)
    assert samples.shape[1] / rate == pytest.approx(3, abs=0.08)  # codecs fill their last frame
    middle = samples[:, rate : 2 * rate]
    assert loudest(middle[0], rate) == pytest.approx(HERTZ, abs=2)
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.4 / np.sqrt(2), rel=0.15)
    mono, seconds = streamed(media / name)
    assert seconds == samples.shape[1] / rate
    np.testing.assert_allclose(mono, audio.resample(audio.to_mono(samples), rate, 16000), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["alac.m4a", "flac.mkv", "x.tta", "x.wv"])
def test_what_loses_nothing_has_the_samples_that_were_encoded(name: str, media: Path) -> None:
    samples, rate = audio.read(media / name)
    time = np.arange(3 * rate) / rate
    assert samples.shape == (2, 3 * rate)
    np.testing.assert_allclose(samples[1], 0.4 * np.sin(2 * np.pi * HERTZ * time), rtol=0, atol=2**-7)  # TTA has 8 bits here


def test_16_bits_stay_16_bits(media: Path) -> None:
    assert audio.read_stored(media / "flac.mkv")[0].dtype == np.int16


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("tenths", [1, 5, 9])
def test_of_a_file_that_was_cut_off_nothing_but_its_beginning_is_heard(name: str, tenths: int, media: Path, tmp_path: Path) -> None:
    """Files say that they are cut off, but for streams that end anywhere."""
    content = (media / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * tenths // 10])
    try:
        _, seconds = streamed(tmp_path / name)
    except AudioError as error:
        assert str(error).startswith(("cut off", "not readable as audio"))
    else:
        assert BY_NAME[name].container in ("mpeg", "mpegts", "ac3", "eac3", "rm")
        assert abs(seconds - 3 * tenths / 10) < 0.15


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.0), (None, 1.0), (2.5, None)])
def test_a_part_has_the_samples_that_the_whole_has_there(start: float | None, end: float | None, media: Path) -> None:
    whole, rate = audio.read(media / "aac.m4a")
    expected = whole[:, round((start or 0) * rate) : None if end is None else round(end * rate)]
    np.testing.assert_array_equal(audio.read(media / "aac.m4a", start, end)[0], expected)


def test_a_part_beyond_the_end_is_refused(media: Path) -> None:
    with pytest.raises(AudioError, match=r"^4 s to 5 s asked for, but the file is 3\.0\d+ s long$"):
        audio.read(media / "aac.m4a", 4, 5)


def test_bytes_decide_and_not_the_name(media: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "is-wav.m4a", np.zeros(1000), 16000, format="WAV")
    assert audio.read(tmp_path / "is-wav.m4a")[0].shape == (1, 1000)
    soundfile.write(tmp_path / "is-mp3.aac", np.zeros(16000), 16000, format="MP3")
    assert audio.read(tmp_path / "is-mp3.aac")[0].shape == (1, 16000)
    for source, name in (("aac.m4a", "is-m4a.wav"), ("opus.webm", "is-webm.mp3"), ("x.aac", "is-aac"), ("wma2.wma", "is-wma.ogg")):
        shutil.copy(media / source, tmp_path / name)
        np.testing.assert_array_equal(audio.read(tmp_path / name)[0], audio.read(media / source)[0])


def test_the_sound_of_a_video_is_read(tmp_path: Path) -> None:
    samples, rate = audio.read(write(tmp_path, Medium("video.mp4", "aac", "mp4"), 1.0, pictures=True))
    assert loudest(samples[0, rate // 4 : rate * 3 // 4], rate) == pytest.approx(HERTZ, abs=3)


def test_a_video_without_sound_is_no_sound(tmp_path: Path) -> None:
    for container in ("mp4", "matroska"):
        path = write(tmp_path, Medium(f"mute.{container}", "", container), 1.0, pictures=True, sound=False)
        with pytest.raises(AudioError, match=r"^no sound in it$"):
            audio.read(path)


def test_a_list_of_addresses_is_text(tmp_path: Path) -> None:
    """FFmpeg would open what it names."""
    (tmp_path / "x.m4a").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.aac\n")
    with pytest.raises(AudioError, match=r"^not readable as audio \(by its name MP4, by its bytes nothing that is known\)$"):
        audio.read(tmp_path / "x.m4a")


def test_without_pyav_the_reason_says_what_brings_it(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError) as caught:
        audio.read(media / "wma2.wma")
    assert str(caught.value) == (
        "Windows Media needs PyAV: pip install 'earmark[formats]'; or convert it, for example with ffmpeg -i FILE FILE.flac"
    )
    with pytest.raises(AudioError, match=r"^not readable as audio \(Error in WAV.*\); PyAV may know its codec: pip install"):
        audio.read(media / "g722.wav")
