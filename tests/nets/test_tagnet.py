import numpy as np
import pytest
import torch

from earmark.errors import RecipeError
from earmark.nets.backbones.densenet_se import Backbone, DenseModule, SqueezeExcitation
from earmark.nets.heads import MeanOfSoftmax
from earmark.nets.tagnet import TagNet, backbone_names, build_net, parameter_count, serving_head
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
        assert torch.allclose(found[b, :, 0, 0], scale, atol=1e-6)


def test_features_are_scaled_by_their_gate_and_pooled() -> None:
    """In the paper's order: the gate, then the pooling; the code pools first."""
    module = DenseModule(2, 4, (3, 3), (2, 2), 1e-3, 0.01).eval()
    image = torch.randn(2, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    narrow = module.bottleneck(torch.relu(module.input_norm(image)))
    features = module.conv(torch.relu(module.bottleneck_norm(narrow)))
    joined = torch.cat([image, features * module.excitation(features)], dim=1)
    assert torch.equal(module(image), module.pool(joined))


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


def test_scores_of_a_clip_are_the_same_whatever_is_scored_beside_it() -> None:
    """Though the net was trained on images relative to the maximum of a batch."""
    sets = ["members.*.frontend.reference=batch"]
    net = net_of(load_recipe("tiny", sets).members["logmel"], 5).eval()
    quiet, loud = sound()[:1] * 0.01, sound()[1:]
    scores = net(quiet)
    assert torch.allclose(net(torch.cat([quiet, loud]))[:1], scores, atol=1e-5)
    net.train()
    assert not torch.allclose(net.frontend(torch.cat([quiet, loud]))[:1], net.frontend(quiet), atol=1e-2)


def test_names_and_arguments_that_are_not_known_are_refused_with_the_choices() -> None:
    good = load_recipe("tiny").members["logmel"]
    assert "densenet_se" in backbone_names()
    with pytest.raises(RecipeError, match=r"no backbone 'resnet'; there are densenet_se"):
        build_net(good.frontend, Part(name="resnet"), good.head, 16000, 5)
    with pytest.raises(RecipeError, match=r"no setting n_mel; it has n_fft, hop_length, n_mels"):
        build_net(Part.model_validate({"name": "logmel", "n_mel": 3}), good.backbone, good.head, 16000, 5)
    with pytest.raises(RecipeError, match="backbone densenet_se"):
        build_net(good.frontend, Part.model_validate({"name": "densenet_se", "stem": 3, "growth": 7}), good.head, 16000, 5)


def part(name: str, **settings: object) -> Part:
    return Part.model_validate({"name": name, **settings})


MEL = part("standardised_logmel", n_fft=256, hop_length=100, n_mels=32)
RESNET = part("resnet34", width=4)


def two_task_net(seed: int = 0, **head: object) -> TagNet:
    torch.manual_seed(seed)
    return build_net(MEL, RESNET, part("curated_noisy", **{"hidden": 8, **head}), 16000, 5)


def sound(samples: int = 8000) -> torch.Tensor:
    return torch.randn(2, samples, generator=torch.Generator().manual_seed(3)) * 0.1


def test_weights_and_scores_of_the_2018_net_are_those_of_version_1() -> None:
    """Recorded at commit 7293ce6, before there were other front ends and heads: a bundle made then gives the same scores."""
    torch.manual_seed(7)
    net = net_of(load_recipe("cochlear2018").members["logmel-16k"], 41).eval()
    weights = net.state_dict()
    assert len(weights) == 163
    recorded = {
        "backbone.stem.weight": ([-0.17828139662742615, -0.056957751512527466, 0.11767026036977768], 14.69786800420843),
        "backbone.dense.7.conv.weight": (
            [0.021722745150327682, -0.0037500287871807814, -0.0013459130423143506],
            30092.528672968412,
        ),
        "head.linear.weight": ([-0.03229136019945145, -0.04490968957543373, 0.038101740181446075], 17987.100070172775),
    }
    for name, (first, size) in recorded.items():
        assert weights[name].flatten()[:3].tolist() == pytest.approx(first, rel=1e-6)
        assert weights[name].double().abs().sum().item() == pytest.approx(size, rel=1e-9)
    with torch.no_grad():
        # With noise: beside a tone alone there is nothing but the rounding errors of one FFT or another.
        scores = net((torch.sin(torch.arange(16000.0) * 0.05) * 0.3) + 0.01 * sound(16000)[:1])
    expected = [0.02490617334842682, 0.018513793125748634, 0.018790889531373978, 0.02194005250930786]
    assert scores[0, :4].tolist() == pytest.approx(expected, rel=1e-5)


def test_parameters_of_the_2019_nets() -> None:
    """Derived in test_backbones and test_heads; the paper's figure of EnvNet-v2 is with one head."""
    mel, wave = part("standardised_logmel"), part("raw_waveform")
    resnet = build_net(mel, part("resnet34"), part("curated_noisy"), 44100, 80)
    assert parameter_count(resnet) == 21_278_400 + 2 * 1_656_912 == 24_592_224
    envnet = build_net(wave, part("envnet_v2"), part("curated_noisy", noisy=False), 44100, 80)
    head = (2560 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 80 + 80)
    assert parameter_count(envnet) == 374_848 + head == 4_128_912


@pytest.mark.parametrize("frontend", [MEL, part("logmel"), part("waveform"), part("raw_waveform")])
def test_power_may_be_given_instead_of_the_waveform(frontend: Part) -> None:
    kernel = [1, 3] if "waveform" in frontend.name else [3, 3]
    backbone = part("densenet_se", stem=2, growth=[2, 2], kernel=kernel)
    net = build_net(frontend, backbone, part("mean_of_softmax"), 16000, 5).eval()
    assert torch.equal(net(net.frontend.power(sound()), domain="power"), net(sound()))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_raw_outputs_are_what_scores_are_made_of(activation: str) -> None:
    net = two_task_net(activation=activation).eval()
    logits, scores = net(sound(), activate=False), net(sound())
    assert net.activation == activation
    assert torch.equal(scores, logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=1))
    assert not torch.allclose(net(sound(), task="noisy"), scores)


@pytest.mark.parametrize("samples", [1, 128, 129, 20_569])
@pytest.mark.parametrize(
    ("frontend", "backbone"), [(MEL, RESNET), (part("raw_waveform"), part("envnet_v2", width=10))], ids=["mel", "waveform"]
)
def test_any_length_gives_scores_of_the_2019_nets(frontend: Part, backbone: Part, samples: int) -> None:
    net = build_net(frontend, backbone, part("curated_noisy", hidden=8), 16000, 5).eval()
    scores = net(sound(samples))
    assert scores.shape == (2, 5)
    assert ((scores > 0) & (scores < 1)).all()


def test_dropout_acts_in_training_only() -> None:
    net = two_task_net()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(net(sound()), net(sound()))
    net.eval()
    assert torch.equal(net(sound()), net(sound()))


def gradients(net: TagNet, task: str) -> set[str]:
    """The parts that a loss of the task trains: names of stages and stacks."""
    net.zero_grad()
    net(sound(), task=task, activate=False).square().sum().backward()
    names = [name for name, parameter in net.named_parameters() if parameter.grad is not None and parameter.grad.any()]
    return {".".join(name.split(".")[: 3 if name.startswith("backbone") else 2]) for name in names}


def test_tasks_share_the_trunk_up_to_the_split() -> None:
    net = two_task_net(split="layer3", dropout=[0.0, 0.0])
    shared = {f"backbone.stages.{stage}" for stage in ("stem", "layer1", "layer2")}
    assert gradients(net, "curated") == shared | {"backbone.stages.layer3", "backbone.stages.layer4", "head.curated"}
    assert gradients(net, "noisy") == shared | {"noisy_stages.layer3", "noisy_stages.layer4", "head.noisy"}
    assert gradients(two_task_net(dropout=[0.0, 0.0]), "noisy") == shared | {
        "backbone.stages.layer3",
        "backbone.stages.layer4",
        "head.noisy",
    }


@pytest.mark.parametrize("split", ["stem", "layer1", "layer4"])
def test_noisy_task_runs_through_its_own_stages(split: str) -> None:
    net = two_task_net(split=split).eval()
    assert net.noisy_stages is not None
    own = [name for name, _ in net.noisy_stages.named_children()]
    image = net.frontend(sound())
    for name, stage in net.backbone.stages.named_children():
        image = getattr(net.noisy_stages, name)(image) if name in own else stage(image)
    assert own[0] == split and own[-1] == "layer4"
    assert torch.allclose(net(sound(), task="noisy", activate=False), net.head(image, "noisy"), atol=1e-6)


def test_split_off_stages_have_initial_weights_of_their_own_and_change_no_others() -> None:
    split, whole = two_task_net(split="layer4"), two_task_net()
    assert split.noisy_stages is not None
    curated, noisy = split.backbone.stages.layer4[0].conv1.weight, split.noisy_stages.layer4[0].conv1.weight
    assert not torch.equal(curated, noisy)
    assert noisy.std().item() == pytest.approx(curated.std().item(), rel=0.1)  # He-normal both, not Glorot-uniform
    weights = split.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in whole.state_dict().items())


def test_split_where_there_is_no_such_stage_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no stage 'layer5'; it has stem, layer1, layer2, layer3, layer4"):
        two_task_net(split="layer5")
    dense = part("densenet_se", stem=2, growth=[2])
    with pytest.raises(RecipeError, match=r"backbone densenet_se has no named stages"):
        build_net(MEL, dense, part("curated_noisy", split="layer3"), 16000, 5)
    with pytest.raises(RecipeError, match=r"head curated_noisy: split .* noisy is false"):
        two_task_net(split="layer3", noisy=False)


@pytest.mark.parametrize("settings", [{}, {"split": "layer3"}, {"split": "stem", "activation": "softmax"}, {"noisy": False}])
def test_serving_head_leaves_out_the_noisy_task_alone(settings: dict[str, object]) -> None:
    trained = two_task_net(**settings).eval()
    head = serving_head(part("curated_noisy", hidden=8, **settings))
    served = build_net(MEL, RESNET, head, 16000, 5).eval()
    weights = trained.state_dict()
    left_out = set(weights) - set(served.state_dict())
    assert all(name.startswith(("head.noisy.", "noisy_stages.")) for name in left_out)
    served.load_state_dict({name: weights[name] for name in served.state_dict()})
    assert torch.equal(served(sound()), trained(sound()))


def test_serving_head_of_one_task_is_the_head() -> None:
    head = load_recipe("tiny").members["logmel"].head
    assert serving_head(head) is head


def test_masked_bands_have_no_power() -> None:
    net = net_of(load_recipe("tiny").members["logmel"], 5).eval()
    wave = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    power = net.frontend.power(wave)
    masked = torch.zeros(2, power.shape[1], dtype=torch.bool)
    masked[0, 3:9] = True
    expected = power.clone()
    expected[0, 3:9] = 0
    assert torch.equal(net(wave, masked=masked), net(expected, "power"))
    assert not torch.allclose(net(wave, masked=masked)[0], net(wave)[0])
    assert torch.equal(net(wave, masked=masked)[1], net(wave)[1])


def test_backbones_work_in_the_precision_of_autocast() -> None:
    """All of it: an image left in float32 would draw what is joined with it to float32."""
    net = net_of(load_recipe("tiny").members["logmel"], 5).eval()
    seen = []
    for module in net.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0].dtype, output.dtype]))
    wave = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(wave)
    assert set(seen) == {torch.bfloat16}
    assert torch.allclose(scores.float(), net(wave), atol=0.02)


def test_channels_lie_last_in_every_image_and_gradient() -> None:
    net = Backbone(1, stem=7, growth=[8, 16])
    image = torch.randn(2, 1, 8, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    images = []

    def look(_: object, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        for one in (inputs[0], output):
            images.append(one)
            if one.requires_grad:
                one.register_hook(images.append)

    for module in net.dense.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d | torch.nn.MaxPool2d):
            module.register_forward_hook(look)
    net = net.to(memory_format=torch.channels_last)
    found = net(image)
    (found * torch.rand_like(found)).sum().backward()
    assert len(images) > 30
    assert all(one.stride(1) == 1 for one in images)
