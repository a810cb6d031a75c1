import time

import pytest
import torch

from earmark.errors import RecipeError
from earmark.nets.member import new_net, planned_net
from earmark.nets.tagnet import TagNet, parameter_count
from earmark.recipe import Recipe, load_recipe
from earmark.training import checks
from earmark.training.checks import check_buildable, check_members, check_start
from tests.small import small_akiyama

NARROW = ["members.*.backbone.growth=[4, 8, 8]"]


@pytest.fixture
def nets(monkeypatch: pytest.MonkeyPatch) -> list[TagNet]:
    """Every net that a check makes."""
    made: list[TagNet] = []

    def noted(*of: object) -> TagNet:
        made.append(planned_net(*of))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(checks, "planned_net", noted)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes", "members", "starts"), [("akiyama2019", 80, 11, 4), ("cochlear2018", 41, 6, 0)])
def test_published_members_are_checked_without_memory_for_their_nets(
    name: str, classes: int, members: int, starts: int, nets: list[TagNet]
) -> None:
    """Two nets more for each member that starts from another's weights."""
    recipe = load_recipe(name)
    before = time.process_time()
    check_members(recipe, recipe.members, classes)
    assert time.process_time() - before < 5
    assert len(nets) == members + 2 * starts
    for net in nets:
        assert {tensor.device.type for tensor in net.parameters()} == {"meta"}
        assert sum(tensor.numel() for tensor in net.buffers() if tensor.device.type != "meta") < 500_000  # filters of the mel


@pytest.mark.parametrize(
    ("recipe", "member"),
    [
        *((small_akiyama(), name) for name in ("row1", "A", "row8", "F")),
        *((load_recipe("cochlear2018", NARROW), name) for name in ("logmel-16k", "waveform-44k")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_planned_net_has_the_shapes_of_the_real_one(recipe: Recipe, member: str) -> None:
    planned, real = (make(recipe.members[member], 7) for make in (planned_net, new_net))
    assert {tensor.device.type for tensor in planned.parameters()} == {"meta"}
    assert {name: tuple(tensor.shape) for name, tensor in planned.state_dict().items()} == {
        name: tuple(tensor.shape) for name, tensor in real.state_dict().items()
    }
    assert parameter_count(planned) == parameter_count(real) == sum(tensor.numel() for tensor in real.parameters())


def test_planning_a_net_draws_no_random_number() -> None:
    """Else a check would change the weights that a net begins with."""
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    check_members(small_akiyama(), ["A", "B"], 10)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("member", "sets", "said"),
    [
        ("row1", ["loss.kind=kl"], "loss kl: needs a softmax; the head curated_noisy has a sigmoid here"),
        ("row8", ["loss.kind=bce"], "loss bce: needs a sigmoid; the head curated_noisy has a softmax here"),
        ("row6", ["soft.loss=kl"], "loss kl: needs a softmax; the head curated_noisy has a sigmoid here"),
        ("A", ["head.noisy=false"], "noisy: the head curated_noisy has no noisy task here"),
        ("row1", ["head.noisy=true"], "head: it has a noisy task that nothing would teach"),
        ("row1", ["backbone.width=0"], "width"),
        ("row1", ["backbone.depth=3"], "backbone resnet34: no setting depth; it has"),
        ("row1", ["frontend.name=logmels"], "no frontend 'logmels'; there are"),
        ("row8", ["batch.frequency_mask.width=[1, 2]"], "batch: frequency_mask needs a mel front end"),
    ],
)
def test_settings_that_go_with_no_net_are_refused(member: str, sets: list[str], said: str) -> None:
    settings = load_recipe("akiyama2019", [f"members.{member}.{text}" for text in sets]).members[member]
    with pytest.raises(RecipeError) as caught:
        check_buildable(settings, 80)
    assert said in str(caught.value)


def test_a_loss_on_logits_needs_a_head_that_has_them() -> None:
    sets = ["members.*.loss={kind: kl, masking: null}"]
    with pytest.raises(RecipeError, match="loss kl: needs a head with logits, which mean_of_softmax has not"):
        check_buildable(load_recipe("tiny", sets).members["logmel"], 10)


def test_weights_of_another_net_are_no_start_and_the_member_is_named() -> None:
    recipe = load_recipe("akiyama2019", ["members.B.start_from=row8"])
    with pytest.raises(RecipeError, match=r"^start_from: member row8 is of another net: it has no fitting "):
        check_start(recipe, "B", 80)
    with pytest.raises(RecipeError, match=r"^members\.B: start_from: member row8 is of another net"):
        check_members(recipe, ["row1", "A", "B"], 80)
    check_members(recipe, ["row1", "A"], 80)  # only those that are asked for
    wider = load_recipe("akiyama2019", ["members.row1.head.hidden=512"])
    with pytest.raises(RecipeError, match=r"^members\.row6: start_from: member row1 is of another net: it has no fitting head\."):
        check_members(wider, ["row6"], 80)


def test_a_member_of_two_tasks_starts_from_one_of_one_task() -> None:
    """B from row 1, as the paper's #5 from #1: the noisy head is its own."""
    check_start(load_recipe("akiyama2019"), "B", 80)
    with pytest.raises(RecipeError, match="is of another net"):  # but not for another number of classes
        check_start(load_recipe("akiyama2019", ["members.B.backbone.width=32"]), "B", 80)
