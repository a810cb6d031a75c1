"""The whole net against the plain one of the reference: outputs, gradients and running statistics."""

import torch

from earmark.nets.member import new_net
from earmark.recipe import load_recipe
from tests.reference.densenet import PlainNet

GROWTH = [4, 8, 8]


def test_the_2018_net_is_the_plain_one() -> None:
    sets = ["members.*.backbone.stem=3", f"members.*.backbone.growth={GROWTH}"]
    net = new_net(load_recipe("cochlear2018", sets).members["logmel-16k"], 6).double()
    plain = PlainNet(3, GROWTH, 6).double()
    plain.load_state_dict(net.state_dict())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as after some training: nothing that 0 or 1 would hide
        for own, other in zip(net.parameters(), plain.parameters(), strict=True):
            own += torch.randn(own.shape, generator=generator, dtype=torch.float64) * 0.05
            other.copy_(own)
    wave = torch.randn(3, 16000, generator=generator, dtype=torch.float64) * torch.tensor([[1.0], [0.1], [0.5]])
    wave[1, 9000:] *= 1e-3  # not silence: what that is, 160 dB below the loudest, is rounding
    target = torch.randint(6, (3,), generator=generator)
    for one in (net, plain):
        one.train()
        torch.nn.functional.nll_loss(one(wave).log(), target).backward()
    for (name, own), other in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert own.grad is not None and other.grad is not None
        assert torch.allclose(own.grad, other.grad, rtol=1e-3, atol=1e-6), name
    for (name, own), other in zip(net.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.allclose(own, other, atol=1e-6), name
    net.eval(), plain.eval()
    with torch.inference_mode():
        assert torch.allclose(net(wave).double(), plain(wave), atol=1e-6)
