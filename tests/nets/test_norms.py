import pytest
import torch

from earmark.nets.norms import BatchNorm, WaveformNorm


def image(channels: int, frames: int = 24, kind: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Channels of different means and sizes."""
    generator = torch.Generator().manual_seed(seed)
    scale, offset = torch.randn(2, channels, 1, 1, generator=generator)
    made = (torch.randn(4, channels, 16, frames, generator=generator) * scale + 5 * offset).to(kind)
    return made.contiguous(memory_format=torch.channels_last)


def pair(channels: int, kind: torch.dtype) -> tuple[BatchNorm, torch.nn.BatchNorm2d]:
    """Ours and torch's, with the same weights."""
    own, torchs = BatchNorm(channels, 1e-3, 0.1), torch.nn.BatchNorm2d(channels, 1e-3, 0.1)
    if kind == torch.float64:
        own.double(), torchs.double()
    with torch.no_grad():
        own.weight.copy_(torch.linspace(-1.5, 2, channels)), own.bias.copy_(torch.linspace(3, -1, channels))
    torchs.load_state_dict(own.state_dict())
    return own, torchs


def trained(norm: torch.nn.Module, given: torch.Tensor) -> list[torch.Tensor]:
    """Results, gradients and statistics of two batches."""
    found = []
    for seed in (1, 2):
        leaf = (given * seed).requires_grad_()
        result = norm(leaf).mul_(2)  # in place, as the nets go on
        result.backward(image(given.shape[1], given.shape[3], given.dtype, seed))
        assert leaf.grad is not None
        found += [result.detach(), leaf.grad]
    return [*found, *(parameter.grad for parameter in norm.parameters() if parameter.grad is not None), *norm.buffers()]


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_narrow_images_are_normalised_as_by_torch(channels: int, kind: torch.dtype) -> None:
    """In double precision to the last digits; in others as close to that as torch's are, or closer."""
    given = image(channels, kind=kind)
    truth = trained(pair(channels, torch.float64)[1], given.double())
    own, torchs = pair(channels, kind)
    expected = trained(torchs, given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.BatchNorm2d, "forward", None)  # ours must not fall back on it
        found = trained(own, given)
    assert len(found) == len(expected) == len(truth) == 9
    for one, other, true in zip(found, expected, truth, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        size = float(true.double().abs().max())
        error, torchs_error = (float((each.double() - true).abs().max()) / size for each in (one, other))
        assert error <= (1e-10 if kind == torch.float64 else 4 * torchs_error + 1e-5)
    assert found[0].is_contiguous(memory_format=torch.channels_last) and found[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "given",
    [image(16), image(3), image(8, frames=1)[:1, :, :5], image(8).contiguous()],
    ids=["wide", "does not divide", "too few places", "channels first"],
)
def test_other_images_are_torchs(given: torch.Tensor) -> None:
    own, torchs = pair(given.shape[1], torch.float32)
    assert torch.equal(own(given), torchs(given))
    own.eval(), torchs.eval()
    assert torch.equal(own(given), torchs(given))


def test_gradients_are_those_of_numbers() -> None:
    own, _ = pair(8, torch.float64)
    given = image(8, frames=2, kind=torch.float64)[:1].contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: own(x).sin(), given)


def test_a_channel_without_any_difference_stays_finite() -> None:
    own, _ = pair(8, torch.float32)
    given = torch.full((2, 8, 8, 8), 1e4).contiguous(memory_format=torch.channels_last).requires_grad_()
    result = own(given)
    result.sum().backward()
    assert torch.allclose(result, own.bias[:, None, None].expand_as(result), atol=0.1)
    assert given.grad is not None and given.grad.isfinite().all()
    assert (own.running_var >= 0).all()


@pytest.mark.parametrize("training", [True, False])
def test_waveforms_are_normalised_as_by_torchs_batch_norm(training: bool) -> None:
    own, torchs = WaveformNorm(1e-3, 0.01), torch.nn.BatchNorm1d(1, 1e-3, 0.01, affine=False)
    for seed in range(3):
        wave = torch.randn(3, 500, generator=torch.Generator().manual_seed(seed)) * (seed + 0.1) + seed
        own.train(training or seed < 2), torchs.train(training or seed < 2)
        centred, factor = own.centred(wave, 4, 7)
        assert not centred[:, :4].any() and not centred[:, -7:].any()
        assert torch.allclose(centred[:, 4:-7] * factor, torchs(wave[:, None])[:, 0], atol=1e-6)
    assert own.state_dict().keys() == torchs.state_dict().keys()
    assert all(torch.allclose(value, torchs.state_dict()[name]) for name, value in own.state_dict().items())
