import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from torch.nn import functional

from earmark.nets.backbones import envnet_v2, resnet34
from earmark.nets.tagnet import parameter_count


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def stage_names(net: nn.Module) -> list[str]:
    return [name for name, _ in net.stages.named_children()]


# ------------------------------------------------------------------------------------------------------------ ResNet-34


def test_resnet_parameters() -> None:
    count = 7 * 7 * 64 + 2 * 64  # no convolution has a bias; a BatchNorm has two a channel
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            into = channels if block == 0 else width
            count += 9 * into * width + 9 * width * width + 2 * 2 * width
            if into != width:
                count += into * width + 2 * width  # the shortcut
        channels = width
    with torch.device("meta"):
        net = resnet34.Backbone(1)
    assert parameter_count(net) == count == 21_278_400
    assert net.out_channels == 512
    assert stage_names(net) == ["stem", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("frames", [1, 2, 31, 32, 33, 512])
def test_resnet_takes_any_length_and_divides_by_32_rounding_up(frames: int) -> None:
    net = resnet34.Backbone(1, width=4)
    assert net(random(2, 1, 128, frames)).shape == (2, 32, 4, -(-frames // 32))


@pytest.mark.parametrize(("into", "stride"), [(6, 1), (3, 1), (6, 2), (3, 2)])
def test_basic_block_in_the_order_of_the_paper(into: int, stride: int) -> None:
    block = resnet34.BasicBlock(into, 6, stride).eval()
    image = random(2, into, 7, 9)
    kept = image.clone()
    scale = 1 / np.sqrt(1 + 1e-5)  # of a fresh BatchNorm: running mean 0, variance 1
    hidden = torch.clamp(functional.conv2d(image, block.conv1.weight, stride=stride, padding=1) * scale, min=0)
    residual = functional.conv2d(hidden, block.conv2.weight, padding=1) * scale
    same = into == 6 and stride == 1
    shortcut = image if same else functional.conv2d(image, block.shortcut[0].weight, stride=stride) * scale
    assert torch.allclose(block(image), torch.clamp(residual + shortcut, min=0), atol=1e-5)
    assert torch.equal(image, kept)


def test_resnet_stages_one_after_the_other_are_the_net() -> None:
    net = resnet34.Backbone(1, width=4).eval()
    image = random(1, 1, 128, 70)
    found = image
    sizes = []
    for stage in net.stages:
        found = stage(found)
        sizes.append(tuple(found.shape[1:]))
    assert sizes == [(4, 32, 18), (4, 32, 18), (8, 16, 9), (16, 8, 5), (32, 4, 3)]
    assert torch.equal(found, net(image))


def test_resnet_initial_weights_are_he_normal_of_the_outputs() -> None:
    net = resnet34.Backbone(1, width=16)
    net.initialise()
    for conv in (module for module in net.modules() if isinstance(module, nn.Conv2d)):
        outputs = conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1]
        tolerance = 5 / np.sqrt(2 * conv.weight.numel())
        assert conv.weight.std().item() == pytest.approx(np.sqrt(2 / outputs), rel=tolerance)


def uniform_of_the_inputs(weight: torch.Tensor) -> bool:
    """Whether the weights of a convolution are uniform within ±1/√inputs, as PyTorch draws them."""
    limit = 1 / np.sqrt(weight[0].numel())
    return scipy.stats.kstest(weight.detach().flatten().numpy(), scipy.stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3


def test_resnet_initial_weights_as_released_differ_in_the_first_convolution() -> None:
    """The published net takes torchvision's, He-normal throughout, and puts in a first convolution of one channel."""
    torch.manual_seed(0)
    net = resnet34.Backbone(1, width=32, initialisation="released")
    net.initialise()
    first, *others = (module.weight for module in net.modules() if isinstance(module, nn.Conv2d))
    assert first.shape == (32, 1, 7, 7) and len(others) == 32 + 3
    assert uniform_of_the_inputs(first)
    for weight in others:
        deviation = np.sqrt(2 / (weight.shape[0] * weight[0, 0].numel()))
        assert weight.std().item() == pytest.approx(deviation, rel=5 / np.sqrt(2 * weight.numel()))
        assert scipy.stats.kstest(weight.detach().flatten().numpy() / deviation, "norm").pvalue > 1e-3
    assert all((module.weight == 1).all() for module in net.modules() if isinstance(module, nn.BatchNorm2d))


# ------------------------------------------------------------------------------------------------------------ EnvNet-v2


def envnet_by_hand() -> int:
    """Of the trunk: without biases, since 374,848 + one head is the paper's figure and every conv has a BatchNorm."""
    layers = [(64, 1, 32), (16, 32, 64), (64, 1, 32), (64, 32, 32), (4, 32, 64), (4, 64, 64)]
    layers += [(2, 64, 128), (2, 128, 128), (2, 128, 256), (2, 256, 256)]
    return sum(taps * into * filters + 2 * filters for taps, into, filters in layers)


def test_envnet_parameters() -> None:
    with torch.device("meta"):
        net = envnet_v2.Backbone(1)
    assert parameter_count(net) == envnet_by_hand() == 374_848
    assert net.out_channels == 256 * 10
    assert stage_names(net) == ["sound", "layer1", "layer2", "layer3", "layer4"]


@pytest.fixture(scope="module")
def small() -> envnet_v2.Backbone:
    torch.manual_seed(0)
    return envnet_v2.Backbone(1, width=12).eval()


def test_envnet_needs_20570_samples(small: envnet_v2.Backbone) -> None:
    assert small.min_frames == 20_570
    unpadded = nn.Sequential(*small.stages.sound[1:], *list(small.stages)[1:])
    image = random(1, 1, 1, 20_570)
    assert torch.equal(small(image), unpadded(image))
    with pytest.raises((RuntimeError, IndexError)):
        unpadded(image[..., 1:])


@pytest.mark.parametrize("samples", [1, 2, 20_569, 20_570])
def test_envnet_centres_what_is_shorter_in_zeros(small: envnet_v2.Backbone, samples: int) -> None:
    wave = random(2, 1, 1, samples)
    left = (20_570 - samples) // 2
    padded = torch.zeros(2, 1, 1, 20_570)
    padded[..., left : left + samples] = wave
    found = small(wave)
    assert found.shape == (2, small.out_channels, 1, 1)
    assert torch.equal(found, small(padded))


def test_envnet_makes_rows_of_the_filters(small: envnet_v2.Backbone) -> None:
    wave = random(2, 1, 1, 25_000)
    _, first, second, _, _ = small.stages.sound
    scale = 1 / np.sqrt(1 + 1e-5)  # of a fresh BatchNorm: running mean 0, variance 1
    hidden = torch.relu(functional.conv1d(wave[:, 0], first[0].weight[:, :, 0], stride=2) * scale)
    hidden = torch.relu(functional.conv1d(hidden, second[0].weight[:, :, 0], stride=2) * scale)
    expected = functional.max_pool1d(hidden, 64)
    found = small.stages.sound(wave)
    assert found.shape == (2, 1, 24, 97)
    assert torch.allclose(found[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("samples", [20_570, 66_650])
def test_envnet_pools_as_the_adaptive_pooling_of_the_published_net(samples: int) -> None:
    net = envnet_v2.Backbone(1).eval()
    image = random(1, 1, 1, samples)
    sizes = []
    for stage in list(net.stages)[:-1]:
        image = stage(image)
        sizes.append(tuple(image.shape[1:3]))
    assert sizes == [(1, 64), (32, 10), (64, 10), (128, 10)]
    last = net.stages.layer4[:-1](image)
    assert torch.equal(net.stages.layer4(image), nn.AdaptiveMaxPool2d((10, 1))(last).flatten(1)[:, :, None, None])


def test_envnet_initial_weights_are_he_normal_of_the_inputs() -> None:
    net = envnet_v2.Backbone(1, width=24)
    net.initialise()
    for conv in (module for module in net.modules() if isinstance(module, nn.Conv2d)):
        inputs = conv.weight[0].numel()
        tolerance = 5 / np.sqrt(2 * conv.weight.numel())
        assert conv.weight.std().item() == pytest.approx(np.sqrt(2 / inputs), rel=tolerance)


def test_envnet_initial_weights_as_released_are_those_of_pytorch_1_1() -> None:
    """Which drew the gains of batch normalisations, too."""
    torch.manual_seed(0)
    net = envnet_v2.Backbone(1, initialisation="released")
    net.initialise()
    convolutions = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)]
    gains = torch.cat([module.weight for module in net.modules() if isinstance(module, nn.BatchNorm2d)])
    assert len(convolutions) == 10 and all(map(uniform_of_the_inputs, convolutions))
    assert scipy.stats.kstest(gains.detach().numpy(), "uniform").pvalue > 1e-3
    he = envnet_v2.Backbone(1)
    he.initialise()
    assert all((module.weight == 1).all() for module in he.modules() if isinstance(module, nn.BatchNorm2d))


@pytest.mark.parametrize("backbone", [resnet34.Backbone, envnet_v2.Backbone])
def test_initialisations_that_are_not_known_are_refused_with_the_choices(backbone: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="initialisation: Input should be 'he' or 'released'"):
        backbone(1, initialisation="glorot")


def test_widths_that_leave_nothing_are_refused() -> None:
    assert envnet_v2.Backbone(1, width=10).out_channels == 80
    with pytest.raises(ValueError, match="width must be at least 10"):
        envnet_v2.Backbone(1, width=9)
    with pytest.raises(ValueError, match="width: Input should be greater than or equal to 1"):
        resnet34.Backbone(1, width=0)
