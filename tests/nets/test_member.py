"""The whole net against the plain one of the reference: outputs, gradients and running statistics."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from earmark.errors import RunError
from earmark.nets import member
from earmark.nets.member import new_net
from earmark.recipe import load_recipe
from tests.reference.densenet import PlainNet

GROWTH = [4, 8, 8]


def test_the_2018_net_is_the_plain_one() -> None:
    torch.manual_seed(1)  # the first weights: with some, a gradient near zero is nothing but rounding
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


def test_changed_numbers_in_a_file_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    member.save_tensors(path, {"a": torch.arange(100.0), "b": torch.ones(3, dtype=torch.int64)}, {"batch": 3})
    tensors, state = member.load_tensors(path)
    assert (tensors["a"].tolist(), state) == (list(range(100)), {"batch": 3})
    content = bytearray(path.read_bytes())
    first = path.read_bytes()
    member.save_tensors(path, {"a": torch.arange(100.0), "b": torch.ones(3, dtype=torch.int64)}, {"batch": 3})
    assert path.read_bytes() == first  # equal tensors, equal files
    content[-200] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="its numbers are not those that were written"):
        member.load_tensors(path)


def test_file_without_a_hash_is_of_an_earlier_version(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.ones(2)}, {"state": '{"batch": 7}'}))
    assert member.load_tensors(path)[1] == {"batch": 7}
