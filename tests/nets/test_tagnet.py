import numpy as np
import pytest
import torch

from earmark.errors import RecipeError
from earmark.nets.backbones.densenet_se import Backbone, SqueezeExcitation
from earmark.nets.heads import MeanOfSoftmax
from earmark.nets.tagnet import TagNet, backbone_names, build_net, parameter_count
from earmark.recipe import MemberSettings, Part, load_recipe


def net_of(member: MemberSettings, classes: int) -> TagNet:
    return build_net(member.frontend, member.backbone, member.head, member.input.sample_rate, classes)


def by_hand(stem: int, growth: list[int], taps: int, classes: int, band_norms: int) -> int:
    """Parameters of the 2018 nets from the paper's figures: a BatchNorm has two a channel, every layer has a bias."""
    channels = 1 + stem
    count = 2 + band_norms + taps * stem + stem  # the waveform's BatchNorm, the bands', the low-level convolution
    for k in growth:
        count += 2 * channels + channels * k + k  # BN, 1×1
        count += 2 * k + taps * k * k + k  # BN, 3×3 or 1×3
        count += k * (k // 2) + k // 2 + (k // 2) * k + k  # squeeze, excitation
        channels += k
    return count + 2 * channels + 8 * (channels * classes + classes)


LOGMEL = [16, 32, 64, 128, 256, 512, 512, 512]
WAVEFORM = [2, 4, 8, 16, 32, 64, 128, 256] + [512] * 7


@pytest.mark.parametrize(
    ("member", "expected", "hand"),
    [
        ("logmel-16k", 11_092_200, by_hand(15, LOGMEL, 9, 41, 2 * 64)),
        ("waveform-44k", 16_521_187, by_hand(1, WAVEFORM, 3, 41, 0)),
    ],
)
def test_parameters_with_41_classes(member: str, expected: int, hand: int) -> None:
    assert parameter_count(net_of(load_recipe("cochlear2018").members[member], 41)) == expected == hand


def test_seven_of_eight_heads_are_about_0_6_million() -> None:
    one, eight = (parameter_count(MeanOfSoftmax(2048, 41, heads)) for heads in (1, 8))
    assert eight - one == 7 * (2048 * 41 + 41)


@pytest.mark.parametrize(("kernel", "pool", "image"), [((3, 3), (2, 2), (1, 1, 64, 500)), ((1, 3), (1, 2), (1, 1, 1, 64000))])
def test_sizes_round_up_so_64_bands_survive_eight_poolings(
    kernel: tuple[int, int], pool: tuple[int, int], image: tuple[int, ...]
) -> None:
    net = Backbone(1, stem=1, growth=[2] * 8, kernel=kernel, pool=pool).eval()
    found = net(torch.zeros(image)).shape
    assert found == (1, 2 + 16, 1, -(-image[3] // 256))


def test_nothing_leaves_the_concatenation() -> None:
    """The input reaches the head: its channel, pooled, is the first of the output."""
    net = Backbone(1, stem=3, growth=[4, 4]).eval()
    image = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    pooled = torch.nn.functional.max_pool2d(image, 4)
    assert torch.allclose(net(image)[:, :1], pooled)


def test_squeeze_excitation_scales_each_channel_by_its_gate() -> None:
    gate = SqueezeExcitation(4)
    image = torch.rand(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    found = gate(image)
    for b in range(2):
        squeezed = image[b].mean(dim=(1, 2))
        hidden = torch.clamp(gate.reduce.weight @ squeezed + gate.reduce.bias, min=0)
        scale = 1 / (1 + torch.exp(-(gate.expand.weight @ hidden + gate.expand.bias)))
        assert torch.allclose(found[b], image[b] * scale[:, None, None], atol=1e-6)


@pytest.mark.parametrize("heads", [1, 8])
def test_head_is_the_mean_of_softmaxes_of_averaged_linear_maps(heads: int) -> None:
    """In the paper's order: a linear map at every place, then the average; the code averages first."""
    head = MeanOfSoftmax(6, 3, heads).eval()
    image = torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    active = torch.relu(image / np.sqrt(1 + 1e-3))  # running mean 0, variance 1
    at_places = torch.einsum("bcft,oc->boft", active, head.linear.weight) + head.linear.bias[None, :, None, None]
    logits = at_places.mean(dim=(2, 3)).view(2, heads, 3)
    expected = torch.stack([torch.softmax(logits[:, h], dim=-1) for h in range(heads)]).mean(dim=0)
    assert torch.allclose(head(image), expected, atol=1e-6)


def test_any_length_gives_probabilities() -> None:
    net = net_of(load_recipe("tiny").members["logmel"], 5).eval()
    for samples in (1, 4000, 50000):
        scores = net(torch.randn(1, samples, generator=torch.Generator().manual_seed(samples)))
        assert scores.shape == (1, 5)
        assert scores.sum().item() == pytest.approx(1, abs=1e-5)


def test_fresh_weights_are_glorot_uniform_and_follow_the_seed() -> None:
    settings = load_recipe("tiny").members["logmel"]
    torch.manual_seed(1)
    one = net_of(settings, 5)
    torch.manual_seed(1)
    two = net_of(settings, 5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    weight = one.head.linear.weight
    limit = np.sqrt(6 / (weight.shape[1] + 5))  # of each softmax by itself, as Keras draws its layers
    assert weight.abs().max().item() <= limit
    assert weight.abs().max().item() > 0.99 * limit
    assert one.head.linear.bias.abs().max().item() == 0


def test_names_and_arguments_that_are_not_known_are_refused_with_the_choices() -> None:
    good = load_recipe("tiny").members["logmel"]
    assert "densenet_se" in backbone_names()
    with pytest.raises(RecipeError, match=r"no backbone 'resnet'; there are densenet_se"):
        build_net(good.frontend, Part(name="resnet"), good.head, 16000, 5)
    with pytest.raises(RecipeError, match=r"no setting n_mel; it has n_fft, hop_length, n_mels"):
        build_net(Part.model_validate({"name": "logmel", "n_mel": 3}), good.backbone, good.head, 16000, 5)
    with pytest.raises(RecipeError, match="backbone densenet_se"):
        build_net(good.frontend, Part.model_validate({"name": "densenet_se", "stem": 3, "growth": 7}), good.head, 16000, 5)
