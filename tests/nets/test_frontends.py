from typing import Any

import librosa
import numpy as np
import pytest
import torch

from earmark.nets import mel
from earmark.nets.frontends import FrontEnd, LogMel, RawWaveform, StandardisedLogMel, Waveform
from earmark.nets.tagnet import FRONTENDS
from tests.reference import kapre

OF_SOUNDS = [name for name, kind in FRONTENDS.items() if not kind.takes_vectors]


def waveform(seconds: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, int(16000 * seconds), generator=generator) * 0.1


def test_mel_power_is_that_of_librosas_stft_of_the_normalised_waveform() -> None:
    net = LogMel(16000)
    net.train()
    wave = waveform()
    found = net.power(wave).detach()
    normal = ((wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-3)).numpy()
    n_frames = -(-16000 // 128)
    padding = (n_frames - 1) * 128 + 1024 - 16000
    padded = np.pad(normal, ((0, 0), (padding // 2, padding - padding // 2)))
    spectrum = librosa.stft(padded, n_fft=1024, hop_length=128, center=False)
    expected = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=64) @ np.abs(spectrum) ** 2
    assert found.shape == expected.shape == (2, 64, 125)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("samples", "hop"), [(3200, 128), (3201, 256), (6000, 300), (500, 128), (1, 128), (1100, 64)])
def test_gain_and_bias_act_on_the_waveform_and_train_as_if_they_did(samples: int, hop: int) -> None:
    """The mel bands are put together from three spectra; here gain and bias are applied where the paper has them."""
    net = LogMel(16000, hop_length=hop).double()
    wave = waveform(0.4)[:, :samples].double()
    with torch.no_grad():
        net.waveform_gain.fill_(1.7)
        net.waveform_bias.fill_(-0.3)
    weight = torch.randn(net.power(wave).shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (net.power(wave) * weight).sum().backward()

    gain = torch.tensor([1.7], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor([-0.3], dtype=torch.float64, requires_grad=True)
    normal = (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-3)
    padding = (len(range(0, samples, hop)) - 1) * hop + 1024 - samples
    padded = torch.nn.functional.pad(gain * normal + bias, (padding // 2, padding - padding // 2))
    spectrum = torch.fft.rfft(padded.unfold(1, 1024, hop) * torch.hann_window(1024, dtype=torch.float64))
    power = (spectrum.abs().square() @ net.mel_power.filters.T).transpose(1, 2)
    (power * weight).sum().backward()

    assert torch.allclose(net.power(wave), power)
    assert net.waveform_gain.grad is not None and gain.grad is not None
    assert net.waveform_bias.grad is not None and bias.grad is not None
    assert torch.allclose(net.waveform_gain.grad, gain.grad)
    assert torch.allclose(net.waveform_bias.grad, bias.grad)


def test_decibels_are_half_of_librosas_because_of_the_square_root() -> None:
    net = LogMel(16000)
    power = torch.rand(1, 64, 30, generator=torch.Generator().manual_seed(0)) ** 8
    net.band_norm.eval()  # running mean 0 and variance 1: only the epsilon changes values
    found = net.compress(power)[:, 0].detach() * np.sqrt(1 + 1e-3)
    expected = librosa.power_to_db(power.sqrt().numpy(), ref=np.max, amin=1e-10, top_db=80)
    assert np.allclose(found, expected, atol=1e-3)


def without_band_norm(reference: str, **settings: object) -> LogMel:
    net = LogMel(16000, reference=reference, **settings)
    net.band_norm = torch.nn.Identity()
    return net


@pytest.mark.parametrize(("reference", "dynamic_range"), [("batch", 80.0), ("example", 80.0), ("batch", 30.0), ("example", 30.0)])
def test_image_is_kapres(reference: str, dynamic_range: float) -> None:
    """A loud sound, a quiet one, and a tone that fades into noise."""
    samples = 3000
    wave = waveform()[:, :samples][[0, 1, 0]] * torch.tensor([[1.0], [0.02], [0.01]])
    wave[2] += torch.sin(torch.arange(samples) * 0.3) * torch.linspace(1, 0, samples) ** 4
    normal = wave.double().numpy()
    normal = (normal - normal.mean()) / np.sqrt(normal.var() + 1e-3)
    mel = np.stack([kapre.mel_power(one, 16000, 1024, 128, 64) for one in normal])
    expected = kapre.decibels(mel, reference, dynamic_range=dynamic_range)
    found = without_band_norm(reference, dynamic_range=dynamic_range).train()(wave)[:, 0].detach().numpy()
    assert found.shape == expected.shape == (3, 64, 24)
    assert np.abs(found - expected).max() < 0.02
    assert (expected[1].max() < -10) == (reference == "batch")  # the quiet one
    assert expected.max() == 0
    assert (expected.min() == -30) if dynamic_range == 30 else (expected.min() < -35)


def drawn_gains(reference: str) -> float:
    """How much the image of the same mixed sounds changes from one draw of their gains to another, in dB: the mean."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(41, 16000, generator=generator) * 10 ** -torch.rand(41, 1, generator=generator)
    sounds = noise * torch.linspace(1, 0.05, 16000)
    sounds /= sounds.abs().amax(dim=1, keepdim=True)
    net = without_band_norm(reference).train()
    gains = 1 - torch.rand(2, 41, 1, generator=generator)  # w, uniform in (0, 1]
    one, other = (net(gain * sounds).detach() for gain in gains)
    return (one - other).abs().mean().item()


def test_the_gain_reaches_the_net_through_the_maximum_of_the_batch_alone() -> None:
    """Jeong & Lim §3.1.1, w of equation (2)."""
    assert drawn_gains("batch") > 2
    assert drawn_gains("example") < 0.05


@pytest.mark.parametrize("reference", ["batch", "example"])
def test_a_scored_clip_has_its_own_maximum_whatever_is_beside_it(reference: str) -> None:
    net = LogMel(16000, reference=reference).eval()
    quiet, loud = waveform()[:1] * 0.01, waveform()[1:]
    alone = net(quiet)
    assert torch.allclose(net(torch.cat([quiet, loud]))[:1], alone, atol=1e-4)
    assert torch.allclose(net(torch.cat([loud, quiet, loud]))[1:2], alone, atol=1e-4)
    assert torch.equal(alone, LogMel(16000, reference="example").eval()(quiet))


def test_a_reference_that_is_not_known_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="reference: Input should be 'batch' or 'example'"):
        LogMel(16000, reference="clip")  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["batch", "example"])
def test_silence_and_a_single_sample_stay_finite_with_finite_gradients(reference: str) -> None:
    net = LogMel(16000, reference=reference)
    for wave in (torch.zeros(2, 4000), torch.nn.functional.one_hot(torch.tensor([5, 9]), 4000).float()):
        net(wave).square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", OF_SOUNDS)
def test_image_is_made_in_two_stages(name: str) -> None:
    net: FrontEnd = FRONTENDS[name](sample_rate=16000).eval()  # type: ignore[call-arg]  # every front end has it
    wave = waveform(0.5)
    power = net.power(wave)
    image = net.compress(power)
    assert torch.equal(net(wave), image)
    assert image.shape == (2, net.out_channels, *power.shape[1:])
    # One hop more of sound is one step more of power.
    assert net.power(waveform(1.0)[:, : 8000 + net.hop_length]).shape[2] == power.shape[2] + 1
    surrounded = torch.nn.functional.pad(wave, (net.context, net.context))
    assert net.power(surrounded, with_context=True).shape == power.shape


@pytest.mark.parametrize("name", OF_SOUNDS)
def test_frames_are_those_of_the_power(name: str) -> None:
    net: FrontEnd = FRONTENDS[name](sample_rate=16000).eval()  # type: ignore[call-arg]  # every front end has it
    lengths = [net.shortest, net.shortest + 1, 3000, 3469, 3470, 8000]
    found = [net.power(waveform()[:, :samples]).shape[2] for samples in lengths]
    assert [net.frames(samples) for samples in lengths] == found
    assert net.frames(np.array(lengths)).tolist() == found
    assert net.power(waveform()[:, : max(net.shortest - 1, 1)]).shape[2] == found[0]  # a shorter one is made as long


@pytest.mark.parametrize("name", OF_SOUNDS)
def test_power_that_can_be_kept_is_of_each_example_alone(name: str) -> None:
    net: FrontEnd = FRONTENDS[name](sample_rate=16000).train()  # type: ignore[call-arg]  # every front end has it
    wave = waveform(0.5) * torch.tensor([[1.0], [0.1]])
    alone = torch.cat([net.power(wave[:1]), net.power(wave[1:])])
    assert torch.allclose(net.power(wave), alone, rtol=1e-4, atol=1e-6) is not net.trainable_power
    assert bool(list(net.parameters())) is net.trainable_power


@pytest.mark.parametrize("samples", [64000, 64001, 1, 127, 128, 1500])
def test_frames_round_up(samples: int) -> None:
    assert LogMel(16000).eval()(torch.zeros(1, samples)).shape == (1, 1, 64, -(-samples // 128))


@pytest.mark.parametrize("kind", [LogMel, StandardisedLogMel])
def test_spectra_are_float32_under_autocast(kind: type[LogMel | StandardisedLogMel]) -> None:
    wave = waveform(0.5)
    net = kind(16000).eval()
    power = net.power(wave)
    expected = net(wave)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.power(wave), power)
        assert torch.equal(net.compress(power), expected)
        assert torch.equal(net(wave), expected)
        assert net.compress(power.bfloat16()).dtype == torch.float32


def test_names_in_weights_files_stay() -> None:
    norm = ["running_mean", "running_var", "num_batches_tracked"]
    both = ["weight", "bias", *norm]
    assert list(LogMel(16000).state_dict()) == [
        "waveform_gain",
        "waveform_bias",
        *(f"waveform_norm.{name}" for name in norm),
        *(f"band_norm.{name}" for name in both),
    ]
    assert list(Waveform(16000).state_dict()) == [f"waveform_norm.{name}" for name in both]
    assert not StandardisedLogMel(16000).state_dict() and not RawWaveform(16000).state_dict()


def test_waveform_front_end_is_the_normalised_waveform() -> None:
    wave = waveform()
    found = Waveform(16000)(wave)
    assert found.shape == (2, 1, 1, 16000)
    expected = (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-3)
    assert torch.allclose(found[:, 0, 0], expected, atol=1e-5)


def test_raw_waveform_is_the_waveform() -> None:
    wave = waveform()
    assert torch.equal(RawWaveform(16000)(wave)[:, 0, 0], wave)


def loud_and_quiet(samples: int) -> torch.Tensor:
    """Two sounds at 44.1 kHz ``[2, samples]``: a sweep that fades over 120 dB, and noise."""
    times = torch.arange(samples, dtype=torch.float64) / 44100
    sweep = torch.sin(2 * torch.pi * (100 * times + 2000 * times.square())) * 10 ** (-6 * times / times[-1])
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.1
    return torch.stack([sweep, noise]).float()


@pytest.fixture(scope="module")
def published() -> StandardisedLogMel:
    return StandardisedLogMel(44100)


def librosas_power(wave: torch.Tensor) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=wave.numpy(),
        sr=44100,
        n_fft=2560,
        hop_length=347,
        n_mels=128,
        fmin=20,
        center=True,
        pad_mode="reflect",
        htk=False,
        norm="slaney",
    )


@pytest.mark.filterwarnings("ignore:n_fft=2560 is too large")
@pytest.mark.parametrize("samples", [44100, 347 * 50, 347 * 50 - 1, 1281])
def test_standardised_mel_power_and_decibels_are_librosas(published: StandardisedLogMel, samples: int) -> None:
    wave = loud_and_quiet(samples)
    power = published.power(wave)
    expected = librosas_power(wave)
    assert power.shape == expected.shape == (2, 128, 1 + samples // 347)
    # The rounding of float32, which processors do differently, is some 1e-12 of the loudest band's power.
    assert np.allclose(power, expected, rtol=1e-4, atol=1e-12 * float(expected.max()))
    for one, found in zip(expected, published.decibels(power), strict=True):
        decibels = librosa.power_to_db(one, ref=1.0, amin=1e-10, top_db=80)
        assert np.allclose(found, decibels, atol=1e-3)
    if samples == 44100:
        assert (published.decibels(power)[0] == published.decibels(power)[0].max() - 80).any()  # the fade is clipped


def test_standardised_image_has_zero_mean_and_unit_variance_of_each_example(published: StandardisedLogMel) -> None:
    wave = loud_and_quiet(20000)
    for one, found in zip(librosas_power(wave), published(wave), strict=True):
        decibels = librosa.power_to_db(one, ref=1.0, amin=1e-10, top_db=80).astype(np.float64)
        expected = (decibels - decibels.mean()) / (decibels.std() + 1e-7)
        assert np.allclose(found[0], expected, atol=1e-4)


def test_power_with_context_is_the_whole_clips_cropped(published: StandardisedLogMel) -> None:
    clip = loud_and_quiet(3 * 44100)
    whole = published.power(clip)
    assert published.context == 1280
    for first, frames, rest in [(4, 60, 0), (100, 128, 346), (200, 1, 0)]:
        begin, end = first * 347, (first + frames - 1) * 347 + rest
        found = published.power(clip[:, begin - 1280 : end + 1280], with_context=True)
        assert found.shape == (2, 128, frames)
        assert torch.allclose(found, whole[:, :, first : first + frames], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 2560 * 7, 2560 * 60])
def test_power_is_the_same_in_chunks(published: StandardisedLogMel, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """One frame at a time, a part of a clip at a time, and two of five clips at a time."""
    wave = loud_and_quiet(347 * 29)[[0, 1, 1, 0, 1]]
    expected = published.power(wave)
    monkeypatch.setattr(mel, "CHUNK_SAMPLES", chunk)
    assert torch.allclose(published.power(wave), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.filterwarnings("ignore:n_fft=2560 is too large")
@pytest.mark.parametrize("samples", [1, 2, 346, 1279, 1280])
def test_waveform_that_cannot_be_reflected_is_centred_in_silence(published: StandardisedLogMel, samples: int) -> None:
    wave = loud_and_quiet(1281)[:, :samples] + 0.1
    left = (1281 - samples) // 2
    padded = torch.zeros(2, 1281)
    padded[:, left : left + samples] = wave
    power = published.power(wave)
    assert power.shape == (2, 128, 4)
    assert np.allclose(power, librosas_power(padded), rtol=1e-4, atol=1e-9)
    assert published(wave).isfinite().all()


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-10, 0.3, 7.7])
def test_example_without_any_difference_becomes_zeros(published: StandardisedLogMel, level: float) -> None:
    """Also where float32 has no exact mean of the dB values: the rounding would be divided by itself."""
    assert not published.compress(torch.full((2, 128, 777), level)).any()


def test_silence_becomes_zeros(published: StandardisedLogMel) -> None:
    assert not published(torch.zeros(2, 5000)).any()


@pytest.mark.parametrize(("loudest", "expected"), [(1.0, -80.0), (1e-1, -90.0), (1e-2, -100.0), (1e-6, -100.0), (1e4, -40.0)])
def test_zeros_behind_an_example_are_80_db_below_its_maximum(
    published: StandardisedLogMel, loudest: float, expected: float
) -> None:
    power = torch.rand(1, 128, 20, generator=torch.Generator().manual_seed(0)) * loudest
    power[0, 5, 7] = loudest
    filled = published.decibels(torch.nn.functional.pad(power, (0, 10)))
    assert torch.allclose(filled[:, :, 20:], torch.tensor(expected), atol=1e-4)
    assert torch.equal(filled[:, :, :20], published.decibels(power))


def test_floor_and_epsilon_act_where_the_formula_has_them() -> None:
    power = torch.rand(2, 128, 9, generator=torch.Generator().manual_seed(0)) ** 8
    decibels = 10 * np.log10(np.maximum(power.double().numpy(), 1e-3))
    centred = decibels - decibels.mean(axis=(1, 2), keepdims=True)
    expected = centred / (centred.std(axis=(1, 2), keepdims=True) + 2.0)
    assert np.allclose(StandardisedLogMel(44100, floor=1e-3, epsilon=2.0).compress(power)[:, 0], expected, atol=1e-5)
    net = without_band_norm("example", n_mels=128, floor=1e-3)
    assert np.allclose(net.compress(power)[:, 0], (decibels - decibels.max(axis=(1, 2), keepdims=True)) / 2, atol=1e-4)


@pytest.mark.parametrize("kind", [LogMel, StandardisedLogMel])
@pytest.mark.parametrize(
    "wrong",
    [
        {"n_fft": 0},
        {"n_fft": 10**7},
        {"hop_length": 0},
        {"hop_length": True},
        {"n_mels": 0},
        {"n_mels": 10**7},
        {"n_mels": 1000, "n_fft": 65536},  # filters of 250 MB
        {"floor": 0.0},
        {"floor": 1e-45},  # 0 in float32
        {"dynamic_range": 0.0},
        {"dynamic_range": float("inf")},
        {"epsilon": 0.0},
        {"epsilon": -1},
        {"epsilon": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: type[LogMel | StandardisedLogMel], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(44100, **wrong)


@pytest.mark.parametrize("momentum", [0, -1, 1.5, float("nan"), float("inf"), True])
@pytest.mark.parametrize("kind", [LogMel, Waveform])
def test_statistics_that_would_not_follow_are_refused(kind: type[LogMel | Waveform], momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum: "):
        kind(16000, momentum=momentum)
