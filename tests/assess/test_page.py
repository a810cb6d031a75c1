from earmark.assess.page import LONGEST_NAME, MARKS, environment, percent, short


def test_long_and_odd_names_stay_on_a_line() -> None:
    assert short("Bark") == "Bark"
    assert short("a" * 1000) == "a" * (LONGEST_NAME - 1) + "…"
    assert short("\x1b[31mred\u202e\n") == r"\x1b[31mred\u202e\n"
    assert short("e" + "\u0301" * 50 + "n") == "e" + "\u0301" * MARKS + "n"


def test_templates_escape_what_they_are_given() -> None:
    assert environment().from_string("{{ name }}{{ name|short }}").render(name="<b>") == "&lt;b&gt;" * 2


def test_shares_are_written_for_people() -> None:
    assert (percent(0.0), percent(1.0), percent(-0.061), percent(1.234)) == ("0 %", "100 %", "−6 %", "123 %")
