"""`akiyama2019` with everything in it, small enough for seconds."""

from collections.abc import Sequence

from earmark.recipe import Recipe, load_recipe

RESNETS = ("row1", "row2", "row3", "A", "B", "row6", "C")
ENVNETS = ("row8", "D", "E", "F")


def small_akiyama(*more: str, recipe: str = "akiyama2019", cycle: int = 2) -> Recipe:
    """The recipe at 8 kHz with narrow nets, cycles of a few batches, and every member, stage and ensemble.

    Args:
        more: further ``--set`` overrides.
        recipe: the built-in recipe.
        cycle: batches of each cycle.
    """
    return load_recipe(recipe, [*_small(load_recipe(recipe), cycle), *more])


def _small(recipe: Recipe, cycle: int) -> Sequence[str]:
    sets = ["precision=float32", "members.*.input.sample_rate=8000", "members.*.validation={every: 2, metric: lwlrap, keep: last}"]
    for name, member in recipe.members.items():
        keep = member.validation.keep
        sets += [f"members.{name}.validation.keep={keep}", f"members.{name}.head.hidden=16", f"members.{name}.batch.size=6"]
        sets += [f"members.{name}.schedule.0.epochs=null", f"members.{name}.schedule.0.batches={cycle}"]
        if name in RESNETS:
            window = 4096 if name == "C" else 2048
            sets += [
                f"members.{name}.input.window={window}",
                f"members.{name}.frontend={{name: standardised_logmel, n_fft: 256, hop_length: 64, n_mels: 16}}",
                f"members.{name}.backbone.width=2",
            ]
            if member.batch.sampling == "shuffled" and member.batch.frequency_mask:
                sets.append(f"members.{name}.batch.frequency_mask.width=[1, 4]")
        else:
            sets += [f"members.{name}.input.window={9000 if name == 'F' else 6000}", f"members.{name}.backbone.width=10"]
    return sets
