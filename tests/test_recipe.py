import pytest

from earmark.errors import RecipeError
from earmark.recipe import Recipe, built_in_recipes, load_recipe


@pytest.mark.parametrize("name", built_in_recipes())
def test_built_in_recipes_load_and_survive_a_round_trip(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe(name)
    assert recipe.name == name
    (tmp_path / "again.yaml").write_text(recipe.to_yaml())
    again = load_recipe(str(tmp_path / "again.yaml"))
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()


def test_the_2018_system_is_complete() -> None:
    recipe = load_recipe("cochlear2018")
    assert {(name, m.input.sample_rate, m.frontend.name) for name, m in recipe.members.items()} == {
        (f"{kind}-{rate // 1000}k", rate, kind) for kind in ("logmel", "waveform") for rate in (16000, 32000, 44100)
    }
    for name, member in recipe.members.items():
        assert member.input.window == 64000
        assert [(p.batches, p.rate, p.last_rate) for p in member.schedule] == [
            (150_000, 1e-3, 1e-3),
            (100_000, 1e-4, 1e-4),
            (50_000, 1e-5, 1e-5),
        ]
        assert member.batches == 300_000
        assert (member.batch.mix_alpha, member.batch.partner, member.loss.masking) == (0.4, "other_class", 0.8)
        assert (member.validation.every, member.validation.keep) == (1000, "best")
        assert recipe.ensemble.weights[name] == (1.5 if member.frontend.name == "logmel" else 1.0)
        growth = member.backbone.arguments["growth"]
        assert sum(growth) + 1 + member.backbone.arguments["stem"] == (2048 if member.frontend.name == "logmel" else 4096 - 0)
    assert recipe.ensemble.rule == "geometric_mean"


def test_like_takes_everything_but_what_differs() -> None:
    members = load_recipe("cochlear2018").members
    one, other = members["logmel-16k"], members["logmel-44k"]
    assert other.input.sample_rate == 44100
    assert other.model_copy(update={"input": one.input}) == one
    assert members["waveform-16k"].frontend.arguments == {}  # another front end takes nothing of the first one's


def test_set_changes_one_member_or_all() -> None:
    changed = load_recipe("cochlear2018", ["members.*.loss.masking=null", "members.logmel-16k.schedule.0.batches=7", "seed=3"])
    assert {m.loss.masking for m in changed.members.values()} == {None}
    assert changed.members["logmel-16k"].schedule[0].batches == 7
    assert changed.members["logmel-32k"].schedule[0].batches == 150_000
    assert changed.seed == 3
    assert load_recipe("tiny", ["members.*.schedule.0.rate=1e-4"]).members["logmel"].schedule[0].rate == 1e-4


def test_any_change_changes_the_fingerprint() -> None:
    plain = load_recipe("tiny").fingerprint()
    for override in ("seed=2", "members.logmel.batch.mix_alpha=0.5", "members.logmel.backbone.stem=8", "unverified=all"):
        assert load_recipe("tiny", [override]).fingerprint() != plain
    assert load_recipe("tiny", ["seed=1"]).fingerprint() == plain


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["nonsense=1"], "nonsense: no such setting; there are name, title, source, seed"),
        (["members.logmel.los.masking=1"], "los: no such setting; there are input, frontend, backbone"),
        (["members.logmel.loss.masking=2"], "less than or equal to 1"),
        (["members.other.loss.masking=1"], "no member 'other'; the members are logmel"),
        (["members.logmel.schedule.3.rate=1"], "no setting"),
        (["seed"], "write it as key=value"),
        (["ensemble.weights.nobody=2"], "the members are logmel"),
        (["members.logmel.batch.gain=[1, 0.5]"], "lower limit is above"),
        (["members.logmel.validation.keep=newest"], "'best' or 'last'"),
    ],
)
def test_wrong_settings_are_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("tiny", overrides)


@pytest.mark.parametrize("text", ["- a\n", "members: 3\n", "a: [\n", "members: {m: 3}\n", "members: {m: {like: n}}\n"])
def test_files_that_are_no_recipe_are_refused(text: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(str(tmp_path / "r.yaml"))


def test_choosing_members_keeps_the_recipes_order() -> None:
    recipe: Recipe = load_recipe("cochlear2018")
    assert recipe.choose_members(["waveform-16k", "logmel-44k"]) == ["logmel-44k", "waveform-16k"]
    with pytest.raises(RecipeError, match="no member logmel-8k"):
        recipe.choose_members(["logmel-8k"])
