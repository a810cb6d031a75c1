import numpy as np
import pytest
import torch

from earmark.errors import RecipeError
from earmark.nets.tagnet import TagNet, build_net, parameter_count, serving_head
from earmark.nets.vectors import Embedding
from earmark.recipe import Part

VECTORS = np.random.default_rng(0).normal(3, [1, 2, 5, 0], (50, 4)).astype(np.float32)  # the last number is always the same


def part(name: str, **arguments: object) -> Part:
    return Part.model_validate({"name": name, **arguments})


def net(hidden: tuple[int, ...] = (), **head: object) -> TagNet:
    return build_net(part("embedding", size=4), part("mlp", hidden=list(hidden)), part("linear", **head), 16000, classes=3)


def test_vectors_are_standardised_by_those_that_are_learned_from() -> None:
    frontend = Embedding(16000, size=4)
    frontend.fit(VECTORS)
    image = frontend.compress(torch.from_numpy(VECTORS))
    assert image.shape == (50, 4, 1, 1)
    expected = (VECTORS - VECTORS.mean(axis=0)) / (VECTORS.std(axis=0) + 1e-6)
    np.testing.assert_allclose(image[:, :, 0, 0].numpy(), expected, atol=1e-4)
    assert set(frontend.state_dict()) == {"mean", "deviation"}  # they go into the file of the weights
    assert frontend.frames(100) == 1 and frontend.frames(np.array([5, 7])).tolist() == [1, 1]


def test_linear_head_begins_with_equal_scores_and_has_the_parameters_counted_by_hand() -> None:
    for activation, score in (("softmax", 1 / 3), ("sigmoid", 1 / 3)):
        scores = net(activation=activation)(torch.from_numpy(VECTORS), "embedding")
        np.testing.assert_allclose(scores.detach().numpy(), np.full((50, 3), score), rtol=1e-6)
    assert parameter_count(net()) == 4 * 3 + 3
    assert parameter_count(net(noisy=True)) == 2 * (4 * 3 + 3)
    assert parameter_count(net(hidden=(8, 5))) == (4 * 8 + 8) + (8 * 5 + 5) + (5 * 3 + 3)


def test_net_is_the_matrix_product_that_numpy_makes() -> None:
    tagger = net(hidden=(8,)).eval()
    weights = {name: value.detach().numpy().astype(np.float64) for name, value in tagger.state_dict().items()}
    torch.nn.init.normal_(tagger.head.curated.weight)
    hidden = np.maximum(VECTORS @ weights["backbone.layers.1.weight"][:, :, 0, 0].T + weights["backbone.layers.1.bias"], 0)
    logits = hidden @ tagger.head.curated.weight.detach().numpy().T
    np.testing.assert_allclose(tagger(torch.from_numpy(VECTORS), "embedding", activate=False).detach(), logits, atol=1e-4)


def test_noisy_task_has_a_layer_of_its_own_which_tagging_leaves_out() -> None:
    tagger = net(noisy=True)
    torch.nn.init.ones_(tagger.head.noisy.bias)
    vectors = torch.from_numpy(VECTORS)
    assert tagger(vectors, "embedding", "noisy", activate=False).tolist() == [[1, 1, 1]] * 50
    assert tagger(vectors, "embedding", activate=False).tolist() == [[0, 0, 0]] * 50
    assert serving_head(part("linear", noisy=True)).arguments == {"noisy": False}


@pytest.mark.parametrize(
    ("frontend", "message"),
    [({"size": 0}, "size"), ({"size": True}, "size"), ({"sha256": "abc"}, "sha256"), ({"variations": -1}, "variations")],
)
def test_wrong_settings_are_refused(frontend: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=f"frontend embedding: {message}"):
        build_net(part("embedding", **frontend), part("mlp"), part("linear"), 16000, classes=3)
