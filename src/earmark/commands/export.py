"""``earmark export``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.console import say


def export(
    model: Annotated[Path, typer.Argument(help="A run directory, or a bundle.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            help="Sounds to prove the nets on (files, folders); by default clips of the run's store, else rendered sounds."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Nets with 8-bit weights, where these are faster here and lose at most half a point.")
    ] = False,
) -> None:
    """Write a model as ONNX files, which need no torch. Every net must first give the scores that it gives in torch."""
    from earmark.quiet import quiet_libraries
    from earmark.training.onnx_bundle import export_bundle

    with quiet_libraries():
        exported = export_bundle(model, out, clips, int8)
    for note in exported.notes:
        say(note)
    for member in exported.config.members:
        if (proof := member.proof) is not None:
            of_a_sound = f"of {proof.seconds:.1f} s" if proof.seconds else "after its model"
            say(
                f"{member.name}, fold {member.fold}: {proof.bytes / 1e6:.1f} MB{', int8' if proof.bits == 8 else ''}; a sound {of_a_sound} "
                f"takes {proof.onnx_ms:.1f} ms, in torch {proof.torch_ms:.1f} ms; scores of {proof.sounds} {proof.source} differ by at "
                f"most {proof.difference:.1g}"
            )
    say(f"{len(exported.config.members)} nets: {out}")
