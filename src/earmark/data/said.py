"""What a user says of a data set whose own tables do not say it: whether labels were checked, which clips are of one recording."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from unicodedata import normalize

from earmark.data.manifest import Clip, Manifest
from earmark.errors import ManifestError


@dataclass(frozen=True)
class Said:
    """What the options of a command say of all clips of a data set.

    Attributes:
        unverified: nobody checked the labels.
        group_by: a regular expression that finds the recording in the name of a clip's file: its first group that is not empty, or
            all that it matches if it has none. It is searched for in the name, or, if it has a ``/`` in it, in the path from the
            data set's folder down.
    """

    unverified: bool = False
    group_by: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The options as they stand on a command line."""
        grouping = () if self.group_by is None else ("--group-by", self.group_by)
        return (*(("--unverified",) if self.unverified else ()), *grouping)

    def refuse(self, why_not_unverified: str, why_not_group_by: str) -> None:
        """Refuses what cannot be said of a data set.

        Args:
            why_not_unverified: why ``--unverified`` would do nothing; empty if it does something.
            why_not_group_by: why ``--group-by`` would do nothing; empty if it does something.

        Raises:
            ManifestError: an option was given that would do nothing.
        """
        if self.unverified and why_not_unverified:
            raise ManifestError("--unverified", [why_not_unverified])
        if self.group_by is not None and why_not_group_by:
            raise ManifestError("--group-by", [why_not_group_by])

    def complete(self, manifest: Manifest, table: str) -> Manifest:
        """The clips of a table, with what was said in place of the columns ``verified`` and ``group``, if it has not got them.

        A note says what is assumed where neither the table nor the user said anything.

        Args:
            manifest: the clips.
            table: the table's name, in error messages.

        Raises:
            ManifestError: the table says it itself; or ``group_by`` is no regular expression, is in no name, or makes one recording
                of all clips.
        """
        reasons = {name: f"{table} has a column {name}, which says so of every clip" for name in manifest.columns}
        self.refuse(reasons.get("verified", ""), reasons.get("group", ""))
        clips = manifest.clips
        notes: list[str] = []
        assumed = []
        if self.unverified:
            clips = tuple(replace(clip, verified=False) for clip in clips)
        elif "verified" not in manifest.columns:
            assumed.append("every label is taken for verified: --unverified says otherwise")
        if self.group_by is not None:
            clips, notes = _grouped(clips, self.group_by)
        elif "group" not in manifest.columns:
            assumed.append("every file is taken for a recording of its own: --group-by says otherwise")
        if assumed:
            notes = ["; ".join(assumed), *notes]
        return replace(manifest, clips=clips, notes=(*manifest.notes, *notes))


NOTHING = Said()


def _grouped(clips: Sequence[Clip], group_by: str) -> tuple[tuple[Clip, ...], list[str]]:
    """The clips with the recordings that a regular expression finds, and a note of those in whose names it finds none."""
    where = f"--group-by {shlex.quote(group_by)}"
    try:
        finder = re.compile(group_by)
    except (re.error, OverflowError, RecursionError) as error:
        raise ManifestError(where, [f"no regular expression: {error}"]) from None
    names = [normalize("NFC", clip.file_name if "/" in group_by else clip.file_name.split("/")[-1]) for clip in clips]
    recordings = [_recording(finder.search(name)) for name in names]
    without = [name for name, recording in zip(names, recordings, strict=True) if not recording]
    if len(without) == len(names):
        raise ManifestError(where, [f"is in none of the {len(names):,} names that it is searched for in, such as {names[0]!r}"])
    if len(clips) > 1 and not without and len(set(recordings)) == 1:
        raise ManifestError(where, [f"makes one recording, {recordings[0]!r}, of all {len(clips):,} clips"])
    grouped = tuple(replace(clip, group=found or clip.group) for clip, found in zip(clips, recordings, strict=True))
    if not without:
        return grouped, []
    which = "1 file is a recording of its own" if len(without) == 1 else f"{len(without):,} files are recordings of their own"
    return grouped, [f"{which}, since --group-by finds nothing in the name, as in {without[0]!r}"]


def _recording(match: re.Match[str] | None) -> str:
    """What a match says is the recording: the first group that is not empty, or all of it; empty if nothing is."""
    if match is None:
        return ""
    return next((group for group in match.groups() if group), match.group()).strip()
