"""The model card, ``README.md`` of a bundle: what the model is, what it learned from, how good it is, and what it cannot know.

It is valid for the Hugging Face Hub, whose fields stand at its top.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from earmark import files
from earmark.errors import one_line
from earmark.tagging.bundle import BundleConfig
from earmark.tagging.thresholds import exclusive

NAME = "README.md"
CLASS_ROWS = 1000  # in the table of classes, at most
MARKUP = re.compile(r"[\\`*\[\]<>&|~$!#^=]|(?<![^\W_])_|_(?![^\W_])")  # what may mean something in Markdown; ends of _words_


@dataclass(frozen=True)
class Kept:
    """What came of a wish, on clips that the thresholds were not chosen on.

    Attributes:
        wish: the precision; None for ``auto``.
        precision: share of the given labels that are right; None if no label was given.
        recall: share of the clips' labels that were given.
        f1: of all labels together.
        tagged: share of the clips that were given a label.
        out_of_reach: number of classes that are never given.
    """

    wish: float | None
    precision: float | None
    recall: float
    f1: float
    tagged: float
    out_of_reach: int


@dataclass(frozen=True)
class ClassCounts:
    """What ``auto`` gives the verified clips, by thresholds that were not chosen on them.

    Attributes:
        clips: number of clips with the class's label.
        given: number of clips that were given the label.
        right: how many of those rightly.
    """

    clips: int
    given: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of the given labels that are right; None if none was given."""
        return self.right / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """Share of the class's clips that were given its label; None if it has none."""
        return self.right / self.clips if self.clips else None


@dataclass(frozen=True)
class Figures:
    """How good a model is, for its card.

    Attributes:
        metrics: a line of Markdown for each figure.
        kept: what comes of the thresholds.
        classes: of every class, or nothing.
        limits: lines of Markdown, what these figures do not say.
    """

    metrics: Sequence[str] = ()
    kept: Sequence[Kept] = ()
    classes: Sequence[ClassCounts] = ()
    limits: Sequence[str] = ()


def write_card(path: Path, config: BundleConfig, figures: Figures | None = None, sections: Mapping[str, str] | None = None) -> None:
    """Writes a bundle's model card.

    Args:
        path: the bundle's folder.
        config: the bundle's configuration.
        figures: how good the model is, if that is known.
        sections: further sections, by their headings, in Markdown.
    """
    figures = figures or Figures()
    text = f"---\n{yaml.safe_dump(_front_matter(config), sort_keys=False, allow_unicode=True, width=1000)}---\n\n" + "\n".join(
        [
            f"# {escaped(config.recipe)}",
            "",
            f"A sound tagger of {len(config.labels):,} classes, trained with earmark {config.earmark}.",
            "",
        ]
    )
    parts = {
        "How to use it": _use(config),
        "What it is": _nets(config),
        "What it learned from": _data(config),
        "How good it is": _quality(config, figures),
        "How sure it is": _trust(config),
        "What it cannot know": _limits(config, figures),
        "Classes": _classes(config, figures.classes),
    }
    for heading, part in {**parts, **(sections or {})}.items():
        text = with_section(text, heading, part)
    files.write_text(path / NAME, text)


def with_section(card: str, heading: str, text: str) -> str:
    """A card with a section, which takes the place of one with the same heading, or comes last.

    Args:
        card: Markdown.
        heading: of the section, without ``##``.
        text: what it says, Markdown; empty to leave the section out.
    """
    old = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", card, flags=re.MULTILINE | re.DOTALL)
    section = f"## {heading}\n\n{text.strip()}\n\n" if text.strip() else ""
    whole = card[: old.start()] + section + card[old.end() :] if old else f"{card.rstrip()}\n\n{section}"
    return whole.rstrip() + "\n"


def escaped(text: str) -> str:
    """Text from outside as it looks, in a line or a cell of Markdown.

    >>> escaped("a|b *c*")
    'a&#124;b &#42;c&#42;'
    """
    return MARKUP.sub(lambda character: f"&#{ord(character[0])};", one_line(text))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all cells but the first of a row stand on the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _front_matter(config: BundleConfig) -> dict[str, object]:
    """What the Hub reads. The model's own licence is not known here: that of the data is named."""
    licence = {"license": "other", "license_name": f"that of the data: {one_line(config.licence)}"} if config.licence else {}
    return {
        **licence,
        "library_name": "earmark",
        "pipeline_tag": "audio-classification",
        "tags": ["earmark", "audio", "audio-classification", "sound-tagging"],
    }


def _use(config: BundleConfig) -> str:
    commands = ["earmark tag sounds/ --model THIS_FOLDER"]
    if config.thresholds is not None:
        commands += [f"earmark tag sounds/ --model THIS_FOLDER --threshold {wish}" for wish in ("auto", "precision:0.9")]
    return "\n".join(
        [
            "```sh",
            *commands,
            "```",
            "",
            "```python",
            "import earmark",
            "",
            'tagger = earmark.load("THIS_FOLDER")',
            'for label, score in tagger.tag("sound.wav"):',
            "    print(label, score)",
            "```",
        ]
    )


def _nets(config: BundleConfig) -> str:
    rates = ", ".join(f"{rate:,} Hz" for rate in sorted({member.input.sample_rate for member in config.members}))
    parameters = sum(member.parameters for member in config.members)
    nets = f"{len(config.members)} nets" if len(config.members) > 1 else "1 net"
    backbones = ", ".join(dict.fromkeys(f"{member.backbone.name} on {member.frontend.name}" for member in config.members))
    return "\n".join(
        [
            f"- {nets} ({backbones}), {parameters:,} parameters in all, at {rates}; "
            f"combined by the {config.rule.replace('_', ' ')} of their scores",
            "- " + ("the classes exclude each other: the scores of a sound have the sum 1" if exclusive(config) else "a sound may have any number of the labels: every class has a score of its own"),
            f"- recipe fingerprint `{config.fingerprint}`",
        ]
    )  # fmt: skip


def _data(config: BundleConfig) -> str:
    data = config.data
    verified = ""
    if data.verified is not None:
        rest = data.clips - data.verified
        verified = f", {data.verified:,} of them verified by a person" + (
            f"; the labels of the other {rest:,} may be wrong, and the model was made to learn in spite of that" if rest else ""
        )
    return (
        f"- {escaped(data.source)}: {data.clips:,} clips{verified}\n- licence of the data: {escaped(config.licence) or 'not known'}"
    )


def _quality(config: BundleConfig, figures: Figures) -> str:
    lines = [*(f"- {line}" for line in figures.metrics)]
    if figures.kept:
        rows = [
            (
                "`auto`" if kept.wish is None else f"`precision:{kept.wish:g}`",
                _percent(kept.precision),
                _percent(kept.recall),
                f"{kept.f1:.3f}",
                _percent(kept.tagged),
                f"{kept.out_of_reach:,} of {len(config.labels):,}",
            )
            for kept in figures.kept
        ]
        lines += [
            "",
            "What `--threshold` gives on verified clips, where thresholds are chosen on the other recordings:",
            "",
            table(
                ("threshold", "labels that are right", "labels that are found", "F1", "sounds with a label", "classes never given"),
                rows,
            ),
        ]
    return "\n".join(lines)


def _trust(config: BundleConfig) -> str:
    if config.calibration is None and config.thresholds is None:
        return (
            "- not measured: too few clips are verified. The scores are as the nets give them, and the model has no thresholds "
            "for `--threshold auto` or `--threshold precision:P`"
        )
    lines = []
    if config.calibration is not None:
        temperature = config.calibration.temperature
        words = "the nets were too sure" if temperature > 1 else "the nets were not sure enough"
        lines.append(
            f"- calibrated: scores are divided by a temperature of {temperature:g} ({words}), fitted on the scores of "
            f"{config.calibration.clips:,} verified clips; the order of a sound's labels is that of the nets"
        )
    if config.thresholds is not None:
        lines.append(
            f"- thresholds of every class, chosen on {config.thresholds.clips:,} verified clips: `--threshold auto` gives a label where "
            "the class's F1 is highest, `--threshold precision:P` where at least the share P of its labels are right. Classes with few "
            "clips lean on all classes. A class that cannot be as precise is never given"
        )
    return "\n".join(lines)


def _limits(config: BundleConfig, figures: Figures) -> str:
    lines = [
        f"it knows these {len(config.labels):,} classes and nothing else: of any other sound it names the class that is most like it, and the "
        "score may be high",
        "all figures are of sounds like those it learned from; other places, microphones and mixtures are harder: hear some of your own "
        "sounds before you rely on it",
        "every clip was scored by nets that had not heard its recording; the model combines the nets of all folds, and no clip that they "
        "learned from can say how it does on new sounds",
        *figures.limits,
    ]
    if exclusive(config):
        lines.insert(1, "of several sounds at once it names the one that stands out; the others share what is left of the score")
    if few := sum(1 for counts in figures.classes if counts.clips < 5):
        lines.append(
            f"{few:,} of the classes have fewer than five verified clips: what is said of them is hardly more than a guess"
        )
    return "\n".join(f"- {line}" for line in lines)


def _classes(config: BundleConfig, classes: Sequence[ClassCounts]) -> str:
    if not classes:
        return ", ".join(map(escaped, config.labels))
    rows = [
        (escaped(label), f"{counts.clips:,}", f"{counts.given:,}", _percent(counts.precision), _percent(counts.recall))
        for label, counts in zip(config.labels, classes, strict=True)
    ]
    text = "With `--threshold auto`, on verified clips, where thresholds are chosen on the other recordings.\n\n"
    text += table(("class", "verified clips", "given to", "of these right", "of its clips found"), rows[:CLASS_ROWS])
    further = [escaped(label) for label in config.labels[CLASS_ROWS:]]
    return text + (f"\n\n{len(further):,} more: " + ", ".join(further) if further else "")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
