"""Cells of tables: what their text or value says. A cell of CSV is text; one of Parquet may have another type.

What reads a cell adds to a list of faults what is wrong in it.
"""

Cell = str | bool | int | float | tuple[str, ...]  # an empty cell is ""; in a column of lists it is ()
TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no"}


def text_of(cell: Cell) -> str:
    """A cell that is no list, as text: true is 1, and whole numbers have no decimal point (a gap makes floats of a column)."""
    if isinstance(cell, bool) or (isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53):
        return str(int(cell))
    return str(cell)


def whole_number(text: str) -> int | None:
    """The number that a cell's text is, 0 or more and below 2³¹; None if it is no such number."""
    text = text.removesuffix(".0")
    return int(text) if text.isdecimal() and len(text) < 100 and int(text) < 2**31 else None


def split_text(text: str, separator: str) -> tuple[str, ...]:
    """The texts in a cell of CSV; empty ones are left out."""
    return tuple(stripped for part in text.split(separator) if (stripped := part.strip()))


def labels_of(cell: Cell, separator: str, faults: list[str]) -> tuple[str, ...]:
    """The labels in a cell: the texts of a list as they are; a text is taken apart at the separator; a number is one label."""
    if isinstance(cell, str):
        return split_text(cell, separator)
    if isinstance(cell, tuple):
        return cell
    if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
        faults.append(f"labels is {cell}, not text or a list of texts")
    return (text_of(cell),)


def verified_of(cell: Cell, faults: list[str]) -> bool:
    """Whether a cell says that a person checked the labels; an empty cell says so."""
    text = "a list" if isinstance(cell, tuple) else text_of(cell).strip().lower().removesuffix(".0") or "1"
    if text not in TRUE | FALSE:
        faults.append(f"verified is {cell!r}, not 0 or 1")
    return text in TRUE


def fold_of(cell: Cell, faults: list[str]) -> int | None:
    """The number of a fold; None for an empty cell."""
    text = "-" if isinstance(cell, bool | tuple) else text_of(cell).strip()
    fold = whole_number(text) if text else None
    if text and fold is None:
        faults.append(f"fold is {cell!r}, not a whole number from 0")
    return fold


def seconds_of(column: str, cell: Cell, faults: list[str]) -> float | None:
    """A time in seconds; None for an empty cell."""
    if isinstance(cell, str) and not cell.strip():
        return None
    try:
        if isinstance(cell, bool | tuple) or (isinstance(cell, str) and "_" in cell):
            raise ValueError
        return float(cell)
    except (ValueError, OverflowError):
        faults.append(f"{column} is {cell!r}, not seconds from 0")
        return None
