"""Recipes, and settings of theirs that ``--set`` changes."""

import pytest

from earmark.training import checks
from tests.bad_inputs.arrange import all_of, data, text
from tests.bad_inputs.cases import NO_RECIPE, TRAIN, Arrange, Capture, Case, Places, check_request, no_change, refused, table

# One member of `akiyama2019` that needs no other and no unverified clips, narrow; and all of them, which are refused before that.
AKIYAMA = "train akiyama2019 --store {store} --out {here}/run --device cpu"
NARROW = " --set members.*.backbone.width=2 --set members.*.head.hidden=8 --set precision=float32"
# Verified and unverified clips of both labels in both folds.
UNVERIFIED_TOO = "file_name,labels,verified,fold\n" + "".join(f"{i}.wav,{'xy'[i % 2]},{i // 4},{i // 2 % 2}\n" for i in range(8))


def setting(override: str, said: str) -> Case:
    return Case(f"--set {override[:100]}", TRAIN + f" --set '{override}'", f"error: {said}")


def of_row1(override: str, said: str, store: str = "{store}", arrange: Arrange = no_change) -> Case:
    """Settings of a net on mels with a sigmoid and no second task that do not go together."""
    sets = " ".join(f"--set '{one}'" for one in override.split("; "))
    command = AKIYAMA.replace("{store}", store) + " --members row1" + NARROW + " "
    return Case(f"row1: {override}", command + sets.replace("{", "{{").replace("}", "}}"), f"error: {said}", arrange=arrange)


def of_akiyama(override: str, said: str) -> Case:
    return Case(f"akiyama2019: {override}", f"{AKIYAMA} --set '{override}'", f"error: akiyama2019.yaml: {said}")


def extending(base: str) -> Arrange:
    """A recipe in ``{here}/r.yaml`` that extends another."""
    return lambda places: (places["here"] / "r.yaml").write_text(f"extends: {base.format(**places)}\nmembers: {{}}\n")


def said_of_extending(name: str, base: str, said: str, *others: Arrange) -> Case:
    return refused(name, "train {here}/r.yaml --store {store} --out {here}/run", said, arrange=all_of(*others, extending(base)))


def back_to_r(places: Places) -> None:
    (places["here"] / "s.yaml").write_text(f"extends: {places['here']}/r.yaml\nmembers: {{}}\n")


LESS, MORE, FINITE = "Input should be less than", "Input should be greater than", "Input should be a finite number"
NO_FLAG = "a number is needed, not true"
EPSILONS = {"0": MORE, "-1": MORE, "1e-45": MORE, ".nan": FINITE, ".inf": FINITE, "true": NO_FLAG}
SHARES = {"0": MORE, "-1": MORE, "1.5": LESS, ".nan": FINITE, "true": NO_FLAG}
# By setting: values outside of its bounds, and what is said of them.
OF_FRONTEND = {
    "hop_length": {"true": NO_FLAG, "-1": MORE, "1e400": FINITE, "100000": LESS, "[1]": "Input should be a valid integer"},
    "n_fft": {"true": NO_FLAG, "10000000": LESS},
    "n_mels": {"true": NO_FLAG, "10000000": LESS},
    "epsilon": EPSILONS,
    "floor": EPSILONS,
    "dynamic_range": {"0": MORE, "-1": MORE, ".inf": FINITE, ".nan": FINITE},
    "momentum": SHARES,
}
OF_BACKBONE = {
    "epsilon": EPSILONS,
    "momentum": SHARES,
    "stem": {"true": NO_FLAG, "0": MORE, "1000000": LESS},
    "growth": {"[1000000]": LESS, "[true]": NO_FLAG, "[]": "<words of pydantic>at least 1 item", "5": "<words of pydantic>"},
    "pool": {"[0, 2]": MORE, "[2]": "Field required", "[.nan, 2]": FINITE},
}
OF_HEAD = {"heads": {"true": NO_FLAG, "1000000000": LESS}, "epsilon": EPSILONS, "momentum": SHARES}
OF_MEMBER = {
    "input.window": {"true": NO_FLAG, "-1": MORE, "1e9": LESS},
    "input.sample_rate": {"true": NO_FLAG, "1": MORE, "1e9": LESS},
    "optimiser.epsilon": EPSILONS,
    "schedule.0.rate": {"0": MORE, "-1": MORE, "1e308": LESS, ".nan": FINITE, "true": NO_FLAG},
    "schedule.0.batches": {"0": MORE, "1e18": LESS, "true": NO_FLAG},
    "schedule.0.cycles": {"1000000000": LESS},
    "batch.mix_alpha": {"1e-308": MORE, "1e308": LESS, ".nan": FINITE},
    "batch.clips_per_class": {"1000000000": LESS, "true": NO_FLAG},
    "loss.masking": {"0": MORE, "1.5": LESS, ".nan": FINITE, "true": NO_FLAG},
    "scoring.clips_per_group": {"0": MORE, ".nan": FINITE},
    "scoring.patience": {"-1": MORE, "2": LESS, ".nan": FINITE},
}
OF_RECIPE = {
    "seed": {"true": NO_FLAG, "1e400": FINITE, "99999999999999999999": LESS},
    # Twice 1e308 would be endless, and every share of it 0.
    "ensembles.all.members.logmel.weight": {"1e308": LESS, "1e-308": MORE, ".nan": FINITE, "true": NO_FLAG},
    "ensembles.all.quoted": {"2": LESS},
}


def outside(place: str, said_of: str, values: dict[str, dict[str, str]]) -> list[Case]:
    return [
        setting(f"{place}{name}={value}", f"{said_of}{name}<place>: {said}<limit>")
        for name, cases in values.items()
        for value, said in cases.items()
    ]


BAD_RECIPES = (
    refused("unknown recipe", "train nosuch --store {store} --out {here}/run", "no recipe 'nosuch': " + NO_RECIPE),
    refused(
        "recipe file that is not there",
        "train {here}/r.yaml --store {store} --out {here}/run",
        "no recipe '{here}/r.yaml': " + NO_RECIPE,
    ),
    refused(
        "recipe of no YAML",
        "train {here}/r.yaml --store {store} --out {here}/run",
        "{here}/r.yaml: not readable as YAML: <words of yaml>",
        arrange=text("r.yaml", "a: ["),
    ),
    refused(
        "recipe of something else",
        "train {here}/r.yaml --store {store} --out {here}/run",
        "{here}/r.yaml: a recipe is a mapping with a mapping `members` in it",
        arrange=text("r.yaml", "members: [1]"),
    ),
    said_of_extending("recipe that extends itself", "{here}/r.yaml", "{here}/r.yaml: extends itself"),
    said_of_extending(
        "recipes that extend each other", "{here}/s.yaml", "{here}/s.yaml: extends itself, through {here}/r.yaml", back_to_r
    ),
    said_of_extending("recipe that extends nothing known", "nosuch", "no recipe 'nosuch': " + NO_RECIPE),
    said_of_extending(
        "recipe that extends no recipe",
        "{here}/s.yaml",
        "{here}/s.yaml: a recipe is a mapping with a mapping `members` in it",
        text("s.yaml", "members: [1]"),
    ),
)

BAD_SETTINGS = (
    setting("seed", "--set seed: write it as key=value, for example --set seed=1"),
    setting("seed=x", "tiny.yaml: seed: <words of pydantic>integer<words>"),
    setting("seed=-1", "tiny.yaml: seed: Input should be greater than or equal to 0"),
    setting("members.*.loss.masking=2", "tiny.yaml: members.logmel.loss.masking: Input should be less than or equal to 1"),
    # Weights, scores and metrics would be NaN.
    setting("members.*.schedule.0.rate=.inf", "tiny.yaml: members.logmel.schedule.0.rate: <words>finite<words>"),
    setting("members.*.schedule.5.rate=1", "--set members.*.schedule.5.rate=1: no setting 'members.*.schedule.5.rate'"),
    # What would be valid belongs to the line.
    setting("nosuch=1", "tiny.yaml: nosuch: no such setting; there are {settings}"),
    setting(
        "members.*.loss.maskin=1", "tiny.yaml: members.logmel.loss.maskin: no such setting; there are kind, masking, double_sigmoid"
    ),
    setting("members.nosuch.loss.masking=1", "--set members.nosuch.loss.masking=1: no member <words>nosuch<words>logmel<words>"),
    setting(
        "members.*.backbone.name=nosuch", "members.logmel: backbone.name: no backbone 'nosuch'; there are <names>densenet_se<names>"
    ),
    setting(
        "members.*.frontend.n_mel=3",
        "members.logmel: frontend logmel: no setting n_mel; it has n_fft, hop_length, n_mels, reference, floor, "
        "dynamic_range, epsilon, momentum",
    ),
    # A setting that is wrong is told before a run directory is begun.
    setting("members.*.frontend.n_fft=0", "members.logmel: frontend logmel: <words>n_fft<words>"),
    setting("members.*.frontend.hop_length=0", "members.logmel: frontend logmel: <words>hop_length<words>"),
    setting("members.*.frontend.n_mels=0", "members.logmel: frontend logmel: <words>n_mels<words>"),
    setting("members.*.frontend.n_mels=many", "members.logmel: frontend logmel: <words of torch>"),
    setting("members.*.head.heads=0", "members.logmel: head mean_of_softmax: <words>heads<words>"),
    setting("members.*.backbone.growth=[0]", "members.logmel: backbone densenet_se: <words>growth<words>"),
    setting("members.*.backbone.kernel=[3]", "members.logmel: backbone densenet_se: <words>"),
    *outside("members.*.frontend.", "members.logmel: frontend logmel: ", OF_FRONTEND),
    *outside("members.*.backbone.", "members.logmel: backbone densenet_se: ", OF_BACKBONE),
    *outside("members.*.head.", "members.logmel: head mean_of_softmax: ", OF_HEAD),
    *outside("members.*.", "tiny.yaml: members.logmel.", OF_MEMBER),
    *outside("", "tiny.yaml: ", OF_RECIPE),
    # Sizes beyond the memory, told before anything is made.
    *(
        setting(change, f"members.logmel: a batch of {batch} samples needs at least <bytes>.<digit> GB of memory, <words>")
        for change, batch in (
            ("members.*.batch.clips_per_class=60000", "<examples>,000 examples of 4,000"),
            ("members.*.input.window=9000000' --set 'members.*.batch.clips_per_class=1000", "<examples>,000 examples of 9,000,000"),
            ("members.*.backbone.growth=[60000, 60000]", "<examples> examples of 4,000"),
        )
    ),
    setting(
        "members.*.input.window=10000000",
        "tiny.yaml: members.logmel.input: window: 10,000,000 samples are 625 s; 600 s are the most",
    ),
    setting("members.*.views=[pad999999]", "members.logmel: view pad999999 adds 32,000 s of zeros; 600 s are the most"),
    setting(
        "members.*.frontend.n_fft=65536' --set 'members.*.frontend.n_mels=1000",
        "members.logmel: frontend logmel: n_fft 65,536 and n_mels 1,000 make filters of 250 MB; 64 MB are the most",
    ),
    # What is typed is read as a recipe is.
    setting(
        "seed=[" + "[" * 100_000, "--set seed=[<brackets>…: line 1: mappings and lists lie within each other more than 30 deep"
    ),
    setting(
        "members.*.frontend" + ".a" * 20_000 + "=1", "--set members.*.frontend.a<more>…: no setting 'members.*.frontend.a<more>'"
    ),
    setting("members.*.schedule.²=1", "--set members.*.schedule.²=1: no setting 'members.*.schedule.²'"),
    setting("members=5' --set 'members.a.b=1", "--set members.a.b=1: no member 'a'; the members are "),
    setting('title="\\ud800"', '--set title="\\ud800": line 1: a text has half a character (a lone surrogate)'),
    # Settings of which each is right, but not with the others.
    setting("members.*.loss.kind=bce", "members.logmel: loss bce: needs a sigmoid; the head mean_of_softmax has a softmax here"),
    setting("members.*.loss.kind=kl", "members.logmel: loss kl: needs a head with logits, which mean_of_softmax has not"),
    setting("members.*.loss.double_sigmoid=true", "tiny.yaml: members.logmel.loss: double_sigmoid is a way of bce"),
    setting(
        "members.*.noisy.weight=1",
        "tiny.yaml: members.logmel: noisy: its clips are the unverified ones; the first task takes clips: verified then",
    ),
    setting(
        "members.*.noisy.weight=1' --set 'members.*.clips=verified",
        "tiny.yaml: members.logmel: noisy and soft tasks go with loss.kind bce or kl",
    ),
    setting(
        "members.*.input.fill=tile",
        "tiny.yaml: members.logmel: noisy and soft tasks, and input.fill tile, go with batch.sampling shuffled",
    ),
    setting(
        "members.*.validation.keep=snapshots",
        "tiny.yaml: members.logmel: validation.keep is snapshots, and no phase of the schedule has cycles",
    ),
    setting("members.*.validation.epochs=1", "tiny.yaml: members.logmel.validation: says either every (so many batches) or epochs"),
    setting("members.*.schedule.0.epochs=1", "tiny.yaml: members.logmel.schedule.0: says either batches or epochs"),
    setting("members.*.batch.sampling=random", "tiny.yaml: members.logmel.batch: no kind 'random'; there are balanced, shuffled"),
    setting("members.*.optimiser.name=rmsprop", "tiny.yaml: members.logmel.optimiser: no kind 'rmsprop'; there are adam, sgd"),
    setting("members.*.views=[whole, whole]", "tiny.yaml: members.logmel: a view stands twice"),
    setting("members.*.views=[left]", "tiny.yaml: members.logmel.views.0: String should match pattern <its pattern>"),
    setting("members.*.views=[]", "tiny.yaml: members.logmel.views: <words of pydantic>at least 1<words>"),
    setting(
        "members.*.start_from=nobody", "tiny.yaml: recipe: members.logmel.start_from: no member 'nobody'; the members are logmel"
    ),
    setting("members.*.start_from=logmel", "tiny.yaml: recipe: members need each other in a circle: logmel → logmel"),
    setting("ensembles.all.members.nobody.weight=2", "tiny.yaml: recipe: ensembles.all.members: no member 'nobody'; <words>logmel"),
    setting(
        "ensembles.all.members.logmel.snapshots=[1]",
        "tiny.yaml: recipe: ensembles.all.members.logmel.snapshots: the schedule of logmel takes none",
    ),
    of_akiyama("members.row6.batch.size=1", "members.row6: soft: half of a batch are verified clips, <words>at least 2"),
    of_akiyama(
        "ensembles.submission1.members.A.snapshots=[2, 9]",
        "recipe: ensembles.submission1.members.A.snapshots: the schedule of A takes 8",
    ),
    of_akiyama(
        "ensembles.submission1.members.A.weights=best", "ensembles.submission1.members.A: snapshots are named, but weights are best"
    ),
    of_akiyama(
        "ensembles.submission1.members.A.snapshots=[2, 2]", "ensembles.submission1.members.A: one of the snapshots stands twice"
    ),
    of_akiyama(
        "ensembles.submission1.members.A.views=[pad8, pad8]", "ensembles.submission1.members.A: one of the views stands twice"
    ),
    of_akiyama("ensembles.submission1.members.G.weight=1", "recipe: ensembles.submission1.members: no member 'G'; <words>"),
    of_akiyama("ensembles.submission1.rule=median", "ensembles.submission1.rule: <words of pydantic>arithmetic_mean<words>"),
    of_akiyama("pseudo_labels.of-A.member=G", "recipe: pseudo_labels.of-A.member: no member 'G'; <words>"),
    of_akiyama(
        "members.B.soft.labels=of-B", "recipe: members.B.soft.labels: no pseudo labels 'of-B'; there are of-A, of-A-all-folds"
    ),
    of_akiyama("members.A.start_from=B", "recipe: members need each other in a circle: A → B → A"),
    of_akiyama("members.E.noisy.double_sigmoid=true", "members.E: noisy.double_sigmoid is a way of bce"),
    of_row1("members.row1.loss.kind=kl", "members.row1: loss kl: needs a softmax; the head curated_noisy has a sigmoid here"),
    of_row1(
        "members.row1.loss.kind=kl; members.row1.head.activation=softmax; members.row1.soft={labels: of-A, loss: bce}",
        "members.row1: loss bce: needs a sigmoid; the head curated_noisy has a softmax here",
        "{here}/data-store",
        data(UNVERIFIED_TOO, *(f"{i}.wav" for i in range(8))),
    ),
    of_row1(
        "members.row1.noisy.weight=1",
        "members.row1: noisy: the head curated_noisy has no noisy task here; curated_noisy with noisy: true has one",
        "{here}/data-store",
        data(UNVERIFIED_TOO, *(f"{i}.wav" for i in range(8))),
    ),
    of_row1(
        "members.row1.head.noisy=true",
        "members.row1: head: it has a noisy task that nothing would teach; say noisy: false in it, or give the member one",
    ),
    of_row1(
        "members.row1.frontend={name: raw_waveform}; members.row1.backbone={name: envnet_v2, width: 10}; "
        "members.row1.batch.frequency_mask.width=[8, 32]",
        "members.row1: batch: frequency_mask needs a mel front end",
    ),
    of_row1(
        "members.row1.batch.mix.kind=between_class",
        "members.row1: batch: mix.kind between_class weighs waveforms: it needs the front end raw_waveform",
    ),
    of_row1(
        "members.row1.batch.gain={unit: decibel, range: [-6, 6]}",
        "members.row1: batch: gain.unit decibel is of a waveform's amplitude; a mel front end takes a factor on its power",
    ),
    of_row1("members.row1.batch.gain.range=[-1, 1]", "akiyama2019.yaml: members.row1.batch.gain: a factor is not below 0"),
    of_row1(
        "members.row1.batch.speed.range=[2, 1]",
        "akiyama2019.yaml: members.row1.batch.speed.range: the lower limit is above the upper one",
    ),
    of_row1(
        "members.row1.head.noisy=true; members.row1.noisy.weight=1; members.row1.head.split=layer9",
        "members.row1: head curated_noisy: split: backbone resnet34 has no stage 'layer9'; it has stem, layer1, layer2, layer3, layer4",
        "{here}/data-store",
        data(UNVERIFIED_TOO, *(f"{i}.wav" for i in range(8))),
    ),
    # Told before row8 is trained for hours.
    of_row1(
        "members.row8.noisy=null; members.row8.head.noisy=false; members.row8.backbone.width=10; members.row1.start_from=row8",
        "members.row1: start_from: member row8 is of another net: it has no fitting backbone<words>",
    ),
    refused(
        "shuffled batches with the front end of 2018",
        "train tiny --store {store} --out {here}/run --set 'members.*.batch={{sampling: shuffled, size: 4}}'",
        "members.logmel: batch: sampling shuffled mixes behind the front end's first stage, which must have nothing to train: "
        "take standardised_logmel, raw_waveform or embedding",
    ),
    refused(
        "noisy task without unverified clips",
        AKIYAMA + " --members A",
        "fold 0: member A has a noisy task, and no unverified clip with labels is there to train on",
    ),
    refused(
        "pseudo labels without unverified clips",
        AKIYAMA + " --members row6 --set members.*.noisy=null --set members.*.head.noisy=false",
        "fold 0: member row6 learns from pseudo labels, and no unverified clip is there to train on",
    ),
    refused(
        "train: a mask without bands",
        "train tiny --store {store} --out {here}/run --set 'members.*.frontend={{name: waveform}}' "
        "--set 'members.*.batch.frequency_mask={{width: [1, 4]}}'",
        "members.logmel: batch: frequency_mask needs a mel front end",
    ),
)


@table(*BAD_RECIPES, *BAD_SETTINGS)
def test_request_is_refused_in_one_line(case: Case, places: Places, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: 16 * 10**9)
    check_request(case, places, capsys)
