"""What a step does with the streams of a member: curated, noisy and soft batches, one after the other."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from earmark.data.batching import Batch
from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.errors import RecipeError
from earmark.nets.member import save_tensors
from earmark.recipe import MemberSettings
from earmark.training.checkpoint import optimiser_tensors
from earmark.training.checks import check_buildable
from earmark.training.piece import Piece
from earmark.training.pseudo import SoftClips
from earmark.training.trainer import FoldTrainer, make_fabric
from tests.small import small_akiyama


def trainer_of(member: str, store: Store, *overrides: str, start: Path | None = None) -> FoldTrainer:
    """A member of the small recipe on what fold 0 leaves for training; pseudo labels are drawn at random."""
    settings = small_akiyama(*overrides).members[member]
    clips = load_clips(store, 8000)
    clips = clips[(clips.fold == 1) | (~clips.verified & ~clips.test)]
    verified, unverified = clips[clips.verified], clips[~clips.verified]
    guesses = np.random.default_rng(7).dirichlet(np.full(10, 0.3), len(unverified)).astype(np.float32)
    soft = SoftClips(
        verified.followed_by(unverified),
        np.concatenate([np.full((len(verified), 10), np.nan, np.float32), guesses]),  # the first rows are not looked at
        np.arange(len(clips)) >= len(verified),
    )
    piece = Piece(
        member,
        Path(),
        settings,
        verified,
        clips[:0],
        np.random.SeedSequence([5, 0]),
        noisy=unverified if settings.noisy else None,
        soft=soft if settings.soft else None,
        start=start,
    )
    return FoldTrainer(piece, make_fabric("cpu", "float32"))


def changed(trainer: FoldTrainer, stream: str, change: Callable[[Batch], Batch]) -> dict[str, list[Batch]]:
    """Makes a stream give other batches; returns the lists that every stream's batches will be put into."""
    seen: dict[str, list[Batch]] = {}
    for name, one in trainer.streams.items():
        seen[name] = []

        def following(name: str = name, draw: Callable[[], Batch] = one.batches.next) -> Batch:
            batch = change(draw()) if name == stream else draw()
            seen[name].append(batch)
            return batch

        one.batches.next = following  # type: ignore[method-assign]
    return seen


def watched(trainer: FoldTrainer) -> dict[str, list[Batch]]:
    return changed(trainer, "", lambda batch: batch)


def gradients(trainer: FoldTrainer) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in trainer.plain_net.named_parameters() if p.grad is not None}


# The losses, written down again from the paper


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, targets)


def kl(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.kl_div(logits.log_softmax(dim=1), targets, reduction="sum") / targets.numel()


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(logits.sigmoid(), targets)


def double_bce(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits.sigmoid(), targets)


Task = tuple[str, str, Callable[[Tensor, Tensor], Tensor], float]
CURATED, NOISY, SOFT = ("curated", "curated", bce, 1.0), ("noisy", "noisy", bce, 1.0), ("soft", "curated", mse, 20.0)


@pytest.mark.parametrize(
    ("member", "overrides", "tasks"),
    [
        ("row1", [], [CURATED]),
        ("A", [], [CURATED, NOISY]),
        ("B", [], [CURATED, NOISY, SOFT]),
        ("row6", ["members.row6.soft.weight=3", "members.row6.noisy.weight=0.5"], [CURATED, (*NOISY[:3], 0.5), (*SOFT[:3], 3.0)]),
        ("D", [], [CURATED, NOISY]),
        ("F", [], [(*CURATED[:2], kl, 1.0), (*NOISY[:2], kl, 1.0)]),
        ("A", ["members.A.noisy.double_sigmoid=true"], [CURATED, (*NOISY[:2], double_bce, 1.0)]),
    ],
)
def test_a_step_s_gradient_is_the_weighted_sum_of_its_streams(
    member: str, overrides: list[str], tasks: list[Task], store: Store
) -> None:
    trainer = trainer_of(member, store, "members.*.head.dropout=[0, 0]", *overrides)
    seen = watched(trainer)
    assert list(trainer.streams) == [name for name, *_ in tasks]
    by_hand = copy.deepcopy(trainer.plain_net).train()
    trainer.step()
    total = torch.zeros(())
    for name, task, loss, weight in tasks:
        [batch] = seen[name]
        total = total + weight * loss(by_hand(batch.sound, batch.domain, task, False), batch.targets)
    total.backward()
    found = gradients(trainer)
    expected = {name: p.grad for name, p in by_hand.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values() if gradient is not None)
    for name, gradient in expected.items():
        assert gradient is not None
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-6 * largest), name
        assert gradient.abs().max() > 0, name


def test_each_stream_is_normalised_by_its_own_batch_and_all_update_the_one_set_of_statistics(store: Store) -> None:
    trainer = trainer_of("B", store)
    calls: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
    norms = [module for module in trainer.plain_net.modules() if isinstance(module, nn.BatchNorm2d)]
    before = {norm: (norm.weight.detach().clone(), norm.bias.detach().clone()) for norm in norms}
    for norm in norms:
        norm.register_forward_hook(lambda m, i, o: calls.setdefault(m, []).append((i[0].detach().clone(), o.detach().clone())))
    trainer.step()
    assert len(norms) > 30
    for norm in norms:
        mean, variance = torch.zeros(norm.num_features), torch.ones(norm.num_features)
        assert len(calls[norm]) == 3
        gain, bias = (value[:, None, None] for value in before[norm])
        for given, found in calls[norm]:
            own_mean, own_variance = given.mean(dim=(0, 2, 3)), given.var(dim=(0, 2, 3), unbiased=False)
            normal = (given - own_mean[:, None, None]) / (own_variance[:, None, None] + norm.eps).sqrt()
            assert torch.allclose(found, gain * normal + bias, atol=1e-3)
            mean = 0.9 * mean + 0.1 * own_mean
            variance = 0.9 * variance + 0.1 * given.var(dim=(0, 2, 3))
        assert torch.allclose(norm.running_mean, mean, rtol=1e-3, atol=1e-6)
        assert torch.allclose(norm.running_var, variance, rtol=1e-3)


def test_another_noisy_batch_changes_nothing_in_the_other_streams_passes(store: Store) -> None:
    outputs = []
    for loud in (False, True):
        trainer = trainer_of("B", store)
        if loud:
            changed(trainer, "noisy", lambda batch: Batch(batch.sound.flip(1) + 5, batch.targets, batch.verified, batch.domain))
        found: list[Tensor] = []
        last = [module for module in trainer.plain_net.modules() if isinstance(module, nn.BatchNorm2d)][-1]
        last.register_forward_hook(lambda _, __, o, found=found: found.append(o.detach().clone()))
        trainer.step()
        outputs.append(found)
    (curated, noisy, soft), (other_curated, other_noisy, other_soft) = outputs
    assert torch.equal(curated, other_curated)
    assert torch.equal(soft, other_soft)
    assert not torch.allclose(noisy, other_noisy)


def test_noisy_labels_do_not_touch_the_curated_head(store: Store) -> None:
    found = []
    for flipped in (False, True):
        trainer = trainer_of("B", store)
        if flipped:
            changed(trainer, "noisy", lambda batch: Batch(batch.sound, 1 - batch.targets, batch.verified, batch.domain))
        trainer.step()
        found.append(gradients(trainer))
    differs = {name for name, gradient in found[0].items() if not torch.equal(gradient, found[1][name])}
    assert {name for name in differs if name.startswith("head.")} == {name for name in found[0] if name.startswith("head.noisy.")}
    assert any(name.startswith("backbone.") for name in differs)


def test_curated_and_soft_labels_do_not_touch_the_noisy_head(store: Store) -> None:
    found = []
    for stream in ("", "curated", "soft"):
        trainer = trainer_of("B", store)
        changed(trainer, stream, lambda batch: Batch(batch.sound, 1 - batch.targets, batch.verified, batch.domain))
        trainer.step()
        found.append(gradients(trainer))
    for other in found[1:]:
        heads = {name: torch.equal(gradient, other[name]) for name, gradient in found[0].items() if name.startswith("head.")}
        assert heads == {name: name.startswith("head.noisy.") for name in heads}


# Dropout


def masks_of(trainer: FoldTrainer, steps: int) -> list[list[Tensor]]:
    """What dropout lets through in each step, in the order of its layers and passes: it is given ones alone."""
    masks: list[Tensor] = []
    hooks = []
    for module in trainer.plain_net.modules():
        if isinstance(module, nn.Dropout):
            hooks.append(module.register_forward_pre_hook(lambda _, i: (torch.ones_like(i[0]),)))
            hooks.append(module.register_forward_hook(lambda _, __, o: masks.append(o.detach() > 0)))
    found = []
    for _ in range(steps):
        masks.clear()
        trainer.step()
        found.append(list(masks))
    for hook in hooks:
        hook.remove()
    return found


def test_dropout_differs_between_passes_and_batches_and_is_the_same_after_a_resume(store: Store, tmp_path: Path) -> None:
    whole = trainer_of("B", store)
    expected = masks_of(whole, 4)
    first = trainer_of("B", store)
    masks_of(first, 2)
    first.save(tmp_path / "c.safetensors")
    second = trainer_of("B", store)
    torch.manual_seed(99)
    torch.rand(17)
    second.load(tmp_path / "c.safetensors")
    found = masks_of(second, 2)
    assert [len(step) for step in expected] == [2 * 3] * 4  # two layers, three passes
    for step, again in zip(expected[2:], found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(step, again, strict=True))
    every = torch.stack([mask for step in expected for mask in step])
    assert len({tuple(mask.flatten().tolist()) for mask in every}) == 24
    assert 0.75 < every[::2].float().mean() < 0.85  # 0.2 is dropped behind the first layer, 0.1 behind the second
    assert 0.86 < every[1::2].float().mean() < 0.94


# Stopping and going on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("member", "overrides"),
    [
        ("B", ["members.B.batch.windows=[1024, 2048]"]),  # Adam, three streams
        ("D", ["members.D.batch.additional_crop={chance: 0.5}"]),  # SGD with momentum, two streams
        ("row1", ["members.row1.schedule.0.batches=6"]),
    ],
)
def test_a_trainer_that_goes_on_equals_one_that_never_stopped(
    member: str, overrides: list[str], store: Store, tmp_path: Path
) -> None:
    whole = trainer_of(member, store, *overrides)
    seen = watched(whole)
    for _ in range(5):
        whole.step()
    first = trainer_of(member, store, *overrides)
    for _ in range(2):
        first.step()
    first.save(tmp_path / "c.safetensors")
    first.step()  # lost with the kill
    second = trainer_of(member, store, *overrides)
    torch.manual_seed(1)
    second.load(tmp_path / "c.safetensors")
    seen_again = watched(second)
    for _ in range(3):
        second.step()

    assert second.batch_number == whole.batch_number == 5
    for name, batches in seen.items():
        assert all(torch.equal(a.sound, b.sound) for a, b in zip(batches[2:], seen_again[name], strict=True))
        assert whole.streams[name].batches.state() == second.streams[name].batches.state()
    states = [trainer.plain_net.state_dict() for trainer in (whole, second)]
    assert states[0].keys() == states[1].keys()
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []
    optimisers = [optimiser_tensors(trainer.plain_optimiser) for trainer in (whole, second)]
    assert optimisers[0].keys() == optimisers[1].keys()
    assert any(name.endswith("momentum_buffer" if member == "D" else "exp_avg") for name in optimisers[0])
    assert [name for name in optimisers[0] if not torch.equal(optimisers[0][name], optimisers[1][name])] == []
    assert torch.equal(whole.tally, second.tally)


def test_the_optimisers_are_those_of_the_recipe(store: Store) -> None:
    adam, sgd = trainer_of("A", store).plain_optimiser, trainer_of("D", store).plain_optimiser
    assert isinstance(adam, torch.optim.Adam) and isinstance(sgd, torch.optim.SGD)
    assert (adam.defaults["eps"], adam.defaults["betas"], adam.defaults["weight_decay"]) == (1e-8, (0.9, 0.999), 0)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"], sgd.defaults["weight_decay"]) == (0.9, True, 0)


def test_every_batch_has_the_rate_of_the_schedule(store: Store) -> None:
    trainer = trainer_of("D", store, "members.D.schedule=[{cycles: 3, batches: 2, rate: 1.0e-1, final_rate: 1.0e-6}]")
    rates = []
    for _ in range(6):
        trainer.step()
        rates.append(trainer.plain_optimiser.param_groups[0]["lr"])
    assert rates == [1e-1, 1e-6] * 3


# Starting from another member's weights


def test_a_net_starts_with_another_member_s_weights_and_its_own_noisy_head(store: Store, tmp_path: Path) -> None:
    source = trainer_of("row1", store)
    source.step()
    save_tensors(tmp_path / "row1.safetensors", source.plain_net.state_dict())
    fresh, started = trainer_of("B", store), trainer_of("B", store, start=tmp_path / "row1.safetensors")
    given, own, found = (trainer.plain_net.state_dict() for trainer in (source, fresh, started))
    assert {name for name in found if name not in given} == {name for name in found if name.startswith("head.noisy.")}
    for name, value in found.items():
        assert torch.equal(value, given[name] if name in given else own[name]), name
    assert not torch.equal(given["head.curated.last.weight"], own["head.curated.last.weight"])


def test_the_weights_of_another_kind_of_net_are_refused(store: Store, tmp_path: Path) -> None:
    source = trainer_of("row1", store, "members.row1.backbone.width=4")
    save_tensors(tmp_path / "row1.safetensors", source.plain_net.state_dict())
    with pytest.raises(RecipeError, match=r"start_from: .*row1.safetensors is of another net: it has no fitting backbone\."):
        trainer_of("B", store, start=tmp_path / "row1.safetensors")


# Losses and heads that do not go together


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("A", "loss.kind=kl", "loss kl: needs a softmax"),
        ("F", "loss.kind=bce", "loss bce: needs a sigmoid"),
        ("A", "head={name: mean_of_softmax}", "loss bce: needs a sigmoid"),
        ("F", "head={name: mean_of_softmax}", "loss kl: needs a head with logits, which mean_of_softmax has not"),
        ("A", "head.noisy=false", "noisy: the head curated_noisy has no noisy task here"),
        ("A", "noisy=null", "head: it has a noisy task that nothing would teach"),
        ("B", "soft.loss=kl", "loss kl: needs a softmax"),
        ("A", "frontend={name: logmel}", "must have nothing to train"),
    ],
)
def test_losses_and_heads_that_do_not_go_together_are_refused(member: str, change: str, message: str) -> None:
    settings: MemberSettings = small_akiyama(f"members.{member}.{change}").members[member]
    with pytest.raises(RecipeError, match=message):
        check_buildable(settings, 10)


def test_the_soft_stream_teaches_verified_clips_their_own_labels_and_the_others_their_guesses(store: Store) -> None:
    trainer = trainer_of("B", store)
    stream = trainer.streams["soft"].batches
    soft = trainer.piece.soft
    assert soft is not None
    for row, clip in enumerate(soft.clips.clip_id.tolist()):
        expected = soft.guesses[row] if soft.guessed[row] else soft.clips.positive[row].astype(np.float32)
        assert np.array_equal(stream.targets[row].numpy(), expected), clip
