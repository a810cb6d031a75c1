import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from earmark.errors import RecipeError
from earmark.recipe import Recipe, built_in_recipes, load_recipe
from earmark.recipe.text import as_text, plain_data


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
        assert [(p.batches, p.rate, p.final_rate, p.cycles) for p in member.schedule] == [
            (150_000, 1e-3, None, None),
            (100_000, 1e-4, None, None),
            (50_000, 1e-5, None, None),
        ]
        assert (member.batch.mix_alpha, member.batch.partner, member.loss.masking) == (0.4, "other_class", 0.8)
        assert (member.validation.every, member.validation.keep) == (1000, "best")
        assert recipe.ensembles["all"].members[name].weight == (1.5 if member.frontend.name == "logmel" else 1.0)
        growth = member.backbone.arguments["growth"]
        assert sum(growth) + 1 + member.backbone.arguments["stem"] == (2048 if member.frontend.name == "logmel" else 4096 - 0)
    assert recipe.ensembles["all"].rule == "geometric_mean"


@pytest.mark.parametrize(
    ("name", "rows"),
    [  # Tables 1 and 2: cycles, epochs each, window in samples, examples a batch, whose weights it starts from
        ("row1", (None, 512, 177317, 64, None)),
        ("row2", (None, 512, 177317, 64, None)),
        ("row3", (8, 64, 177317, 64, None)),
        ("A", (8, 64, 177317, 64, None)),
        ("B", (7, 64, 177317, 32, "row1")),
        ("row6", (7, 64, 177317, 32, "row1")),
        ("C", (6, 64, 354981, 64, None)),
        ("row8", (None, 400, 133300, 16, None)),
        ("D", (3, 80, 133300, 64, "row8")),
        ("E", (5, 80, 133300, 16, "row8")),
        ("F", (10, 80, 200000, 16, None)),
    ],
)
def test_the_2019_system_is_that_of_its_tables(name: str, rows: tuple[object, ...]) -> None:
    recipe = load_recipe("akiyama2019")
    member = recipe.members[name]
    [phase] = member.schedule
    assert member.batch.sampling == "shuffled"
    assert (phase.cycles, phase.epochs, member.input.window, member.batch.size, member.start_from) == rows
    waveform = name in ("row8", "D", "E", "F")
    assert (phase.rate, phase.final_rate) == (1e-1 if waveform else 1e-3, 1e-6)
    assert member.optimiser.name == ("sgd" if waveform else "adam")
    assert (member.noisy is not None) == (name not in ("row1", "row2", "row3"))
    assert (member.soft is not None) == (name in ("B", "row6"))
    assert member.loss.kind == ("kl" if name in ("row8", "E", "F") else "bce")
    assert member.head.arguments["activation"] == ("softmax" if name in ("row8", "E", "F") else "sigmoid")
    frames = 1 + member.input.window // 347
    assert waveform or frames == (1024 if name == "C" else 512)
    assert recipe.leaks(name) == (name == "B")
    assert member.clips == "verified"


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
        (["nonsense=1"], "nonsense: no such setting; there are name, title, about, source, seed"),
        (["members.logmel.los.masking=1"], "los: no such setting; there are input, frontend, backbone"),
        (["members.logmel.loss.masking=2"], "less than or equal to 1"),
        (["members.other.loss.masking=1"], "no member 'other'; the members are logmel"),
        (["members.logmel.schedule.3.rate=1"], "no setting"),
        (["seed"], "write it as key=value"),
        (["ensembles.all.members.nobody.weight=2"], "no member 'nobody'; the members are logmel"),
        (["members.logmel.batch.gain=[1, 0.5]"], "lower limit is above"),
        (["members.logmel.validation.keep=newest"], "'best', 'last' or 'snapshots'"),
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


def loaded(folder: Path, text: str, *overrides: str) -> Recipe:
    (folder / "r.yaml").write_text(text)
    return load_recipe(str(folder / "r.yaml"), overrides)


def test_a_recipe_that_extends_another_says_only_what_differs(tmp_path: Path) -> None:
    assert loaded(tmp_path, "extends: tiny\nseed: 7\n") == load_recipe("tiny", ["seed=7"])
    (tmp_path / "tiny.yaml").write_text("extends: tiny\ntitle: A file called like the recipe that it extends\n")
    assert load_recipe(str(tmp_path / "tiny.yaml")).fingerprint() == load_recipe("tiny").fingerprint()


def test_a_member_of_an_extended_recipe_may_be_like_another(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, "extends: cochlear2018\nmembers: {waveform-16k: {like: logmel-16k, input: {window: 9}}}\n")
    as_told = load_recipe("cochlear2018", ["members.logmel-16k.input.window=9"]).members["logmel-16k"]
    assert recipe.members["waveform-16k"] == as_told


def test_set_changes_one_of_two_members_that_share_a_value(tmp_path: Path) -> None:
    shared = (
        "extends: cochlear2018\nmembers:\n  logmel-16k: {schedule: &s [{batches: 9, rate: 0.1}]}\n  logmel-32k: {schedule: *s}\n"
    )
    members = loaded(tmp_path, shared, "members.logmel-16k.schedule.0.batches=7").members
    assert [members[name].schedule[0].batches for name in ("logmel-16k", "logmel-32k")] == [7, 9]


def test_members_that_need_each_other_in_many_ways_are_looked_at_once(tmp_path: Path) -> None:
    """Each needs the two before it: there are more than 10^9 ways through 45 of them."""
    member = "{like: m0, start_from: m%d, soft: {labels: p%d}}"
    (tmp_path / "r.yaml").write_text(
        "extends: akiyama2019\nmembers:\n  m0: {like: row1}\n"
        + "".join(f"  m{i}: {member % (i - 1, max(i - 2, 0))}\n" for i in range(1, 46))
        + "pseudo_labels:\n"
        + "".join(f"  p{i}: {{member: m{i}}}\n" for i in range(46))
    )
    before = time.process_time()
    recipe = load_recipe(str(tmp_path / "r.yaml"))
    assert not recipe.leaks("m45")
    assert time.process_time() - before < 5


def test_numbers_are_those_that_are_written() -> None:
    written = {"1e-3": 1e-3, "1.0e-3": 1e-3, "2E+2": 200.0, ".5": 0.5, "3": 3.0}
    for text, value in written.items():
        assert load_recipe("tiny", [f"members.*.schedule.0.rate={text}"]).members["logmel"].schedule[0].rate == value
        assert (
            load_recipe("tiny", [f"members.*.frontend.dynamic_range={text}"]).members["logmel"].frontend.arguments["dynamic_range"]
            == value
        )
    assert load_recipe("tiny", ["title='1e-3'"]).title == "1e-3"
    assert load_recipe("tiny", ["title=nan"]).title == "nan"
    assert load_recipe("tiny", ["members.*.schedule.0.batches=1e3"]) == load_recipe("tiny", ["members.*.schedule.0.batches=1_000"])


# Without line ends of old computers: PyYAML writes them in such a way that it reads spaces.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | TEXTS
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=20)


@given(DATA)
@example(
    {
        "1e5": ["1e5", "1.", "+.5E-3", "010", "1:30", "2019-10-25", "yes", "~", "<<", "=", ".nan"],
        "a": [1e5, 1e-7, 1.0, float("inf")],
    }
)
def test_yaml_is_read_as_it_was_written(data: Any) -> None:
    assert plain_data(as_text(data)) == data


@given(st.text("ab1:-?[]{},&*!|>'\"%@#<~.=e \n\t0x_\\\ufeffé", max_size=60))
def test_text_of_any_kind_is_data_or_refused(text: str) -> None:
    try:
        plain_data(text)
    except RecipeError:
        pass


@given(
    st.text("tinymebrs.*0=[]{}:,-1e\"'#&é²", max_size=40),
    st.sampled_from(["", "members.*.", "members.logmel.schedule.0.", "ensembles.all."]),
)
def test_set_of_any_kind_is_a_recipe_or_refused(override: str, place: str) -> None:
    try:
        load_recipe("tiny", [place + override])
    except RecipeError:
        pass
