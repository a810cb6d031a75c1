import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError, EarmarkError, WindowError
from earmark.tagging.streams import ArraySound
from earmark.tagging.windows import Cut, check_windows, in_one_piece, in_windows

RATE = 1000
HELD = 2  # seconds in a block of a `Blocks`


class Blocks:
    """Samples as a file gives them, in blocks; the resampled samples come later than those at the file's rate."""

    def __init__(self, samples: np.ndarray, rates: Sequence[int] = (RATE,), late: int = 0) -> None:
        self.at = {rate: audio.resample(samples, RATE, rate) for rate in rates}
        self.rate, self.samples, self.late, self.seconds, self.most = RATE, len(samples), late, 0.0, 0

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
        given = dict.fromkeys(rates, 0)
        for end in range(HELD * RATE, self.samples + HELD * RATE, HELD * RATE):
            self.seconds = min(end, self.samples) / RATE
            last = end >= self.samples
            block = {}
            for rate in rates:
                until = len(self.at[rate]) if last else max(int(self.seconds * rate) - self.late, 0)
                block[rate] = self.at[rate][given[rate] : until]
                given[rate] = until
            yield block


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, round(seconds * RATE)).astype(np.float32)


def spans(cuts: Iterator[Cut]) -> list[tuple[float, float]]:
    return [(round(cut.start, 9), round(cut.end, 9)) for cut in cuts]


@pytest.mark.parametrize(
    ("seconds", "window", "hop", "expected"),
    [
        (10, 5, 5, [(0, 5), (5, 10)]),
        (11, 5, 5, [(0, 5), (5, 10), (10, 11)]),
        (10, 5, 2.5, [(0, 5), (2.5, 7.5), (5, 10)]),  # none from 7.5 on: it would lie within the last
        (10.5, 5, 2.5, [(0, 5), (2.5, 7.5), (5, 10), (7.5, 10.5)]),
        (3, 5, 5, [(0, 3)]),
        (5, 5, 1, [(0, 5)]),
        (10, 1, 4, [(0, 1), (4, 5), (8, 9)]),
        (8, 1, 4, [(0, 1), (4, 5)]),
        (8.5, 1, 4, [(0, 1), (4, 5), (8, 8.5)]),
        (9.001, 3, 3, [(0, 3), (3, 6), (6, 9), (9, 9.001)]),
        (0.3, 0.1, 0.1, [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]),  # 3 · 0.1 is more than 0.3
        (0.5, 1 / 3, 1 / 6, [(0, 0.333333333), (0.166666667, 0.5)]),  # in samples, two hops are one less than a window
    ],
)
def test_windows_cover_the_sound_once(seconds: float, window: float, hop: float, expected: list[tuple[float, float]]) -> None:
    samples = noise(seconds)
    for sound in (ArraySound(samples, RATE), Blocks(samples), Blocks(samples, late=100)):
        assert spans(in_windows(sound, [RATE], window, hop)) == expected
    for start, cut in zip(expected, in_windows(Blocks(samples), [RATE], window, hop), strict=True):
        truth = samples[round(start[0] * RATE) : round(start[1] * RATE)]
        np.testing.assert_allclose(cut.sound[RATE], truth, atol=0.5 / 32768)


@pytest.mark.parametrize("seed", range(20))
def test_any_windows_are_slices_that_cover_the_sound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = noise(rng.uniform(0.01, 20))
    window, hop = rng.uniform(0.05, 6), rng.uniform(0.05, 6)
    cuts = list(in_windows(Blocks(samples, late=int(rng.integers(300))), [RATE], window, hop))
    seconds = len(samples) / RATE
    assert cuts[0].start == 0
    for number, cut in enumerate(cuts):
        assert cut.start == pytest.approx(number * hop)
        assert cut.end == pytest.approx(min(cut.start + window, seconds))
        begin = round(number * hop * RATE)
        np.testing.assert_allclose(cut.sound[RATE], samples[begin : begin + round(window * RATE)], atol=0.5 / 32768)
    assert all(later.end > earlier.end for earlier, later in pairwise(cuts))
    assert cuts[-1].end == pytest.approx(seconds) or seconds <= len(cuts) * hop  # the rest is a hole


def test_a_window_at_several_rates_is_the_same_time_of_each() -> None:
    samples = noise(9.7)
    sound = Blocks(samples, [RATE, 441, 1600], late=37)
    cuts = list(in_windows(sound, [441, 1600], 2.5, 1.3))
    assert len(cuts) == math.ceil((9.7 - 2.5) / 1.3) + 1
    for number, cut in enumerate(cuts):
        for rate in (441, 1600):
            begin = round(number * 1.3 * rate)
            np.testing.assert_allclose(cut.sound[rate], sound.at[rate][begin : begin + round(2.5 * rate)], atol=1 / 32768)
    assert {len(cut.sound[441]) for cut in cuts[:-1]} == {round(2.5 * 441)}  # one length, so that they go through a net together


def test_a_last_window_without_a_sample_is_left_out_and_a_sound_without_one_refused() -> None:
    samples = noise(2.001)
    assert spans(in_windows(Blocks(samples, [100]), [100], 1, 1)) == [(0, 1), (1, 2)]
    assert spans(in_windows(Blocks(samples), [RATE], 1, 1)) == [(0, 1), (1, 2), (2, 2.001)]
    for cuts in (lambda sound, rates: in_windows(sound, rates, 1, 1), in_one_piece):
        with pytest.raises(AudioError, match="no samples"):
            list(cuts(ArraySound(noise(0), RATE), [100]))
        with pytest.raises(AudioError, match="too short: 1 samples at 1000 Hz leave none at 100 Hz"):
            list(cuts(Silent(), [RATE, 100]))


class Silent(ArraySound):
    """A sound of one sample, which a resampler makes nothing of."""

    def __init__(self) -> None:
        super().__init__(noise(0.001), RATE)

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
        yield {rate: self.samples if rate == RATE else self.samples[:0] for rate in rates}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, [(0, 0.5)]),
        (60, [(0, 60)]),
        (60.001, [(0, 30), (30, 45.0005), (45.0005, 60.001)]),
        (90, [(0, 30), (30, 60), (60, 90)]),
        (91, [(0, 30), (30, 60), (60, 75.5), (75.5, 91)]),
        (200, [(0, 30), (30, 60), (60, 90), (90, 120), (120, 150), (150, 175), (175, 200)]),
    ],
)
def test_a_whole_sound_is_of_over_a_minute_is_cut_into_pieces_of_a_quarter_to_half_a_minute(
    seconds: float, expected: list[tuple[float, float]]
) -> None:
    samples = noise(seconds)
    for sound in (ArraySound(samples, RATE), Blocks(samples), Blocks(samples, late=100)):
        cuts = list(in_one_piece(sound, [RATE]))
        assert spans(iter(cuts)) == expected
        np.testing.assert_allclose(np.concatenate([cut.sound[RATE] for cut in cuts]), samples, atol=0.5 / 32768)


def test_only_what_is_needed_is_in_memory() -> None:
    samples = noise(600)
    for cuts, most in (
        (lambda sound: in_windows(sound, [RATE], 5, 1), 5 + HELD),
        (lambda sound: in_one_piece(sound, [RATE]), 60 + HELD),
    ):
        sound = Watched(samples)
        for _ in cuts(sound):
            pass
        assert sound.most <= (most + HELD) * RATE
    hole = Watched(samples)
    assert len(list(in_windows(hole, [RATE], 1, 590))) == 2
    assert hole.most <= (1 + 2 * HELD) * RATE


class Watched(Blocks):
    """Counts the samples of its blocks that are in memory."""

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
        alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        for number, block in enumerate(super().mono(rates)):
            copies = {rate: samples.copy() for rate, samples in block.items()}
            alive.update({number: copies[RATE]})
            del block
            self.most = max(self.most, sum(map(len, alive.values())))
            yield copies
            del copies


@pytest.mark.parametrize(
    ("window", "hop", "merge", "message"),
    [
        (0.0, None, False, "a window of 0 s; 0.01 to 600 s can be used"),
        (-1.0, None, False, "a window of -1 s; "),
        (math.nan, None, False, "a window of nan s; "),
        (math.inf, None, False, "a window of inf s; "),
        (601.0, None, False, "a window of 601 s; "),
        (5.0, 0.0, False, "a hop of 0 s; 0.0036 to 86,400 s can be used"),
        (5.0, -1.0, False, "a hop of -1 s; "),
        (5.0, math.nan, False, "a hop of nan s; "),
        (5.0, math.inf, False, "a hop of inf s; "),
        (5.0, 0.0035, False, "a hop of 0.0035 s; "),  # more than a million parts an hour
        (None, 5.0, False, "a hop needs a window"),
        (None, None, True, "merge needs a window"),
    ],
)
def test_bad_windows_are_refused(window: float | None, hop: float | None, merge: bool, message: str) -> None:
    with pytest.raises(WindowError, match=f"^{message}") as caught:
        check_windows(window, hop, merge)
    assert isinstance(caught.value, EarmarkError) and isinstance(caught.value, ValueError)


def test_good_windows_are_taken() -> None:
    for window, hop in ((None, None), (0.01, None), (600.0, 86_400.0), (5.0, 0.0036)):
        check_windows(window, hop, merge=False)


def test_samples_that_are_no_numbers_are_refused() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(AudioError, match="NaN or infinite"):
            list(in_one_piece(ArraySound(np.array([0, bad], np.float32), RATE), [RATE]))
