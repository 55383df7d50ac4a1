"""What commands print of a table: no control characters, and what the reading found odd."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from commands import status_of

from nnpoly.cli.tables import METRICS

FAST = ["--quiet", "--epochs", "2", "--widths", "4", "--backend", "numpy"]
ESCAPE, BELL = "\x1b", "\x07"
NAMES = {"number": f"a{ESCAPE}[31m", "kind": f"{ESCAPE}]0;title{BELL}", "target": f"y{ESCAPE}[2J"}
CATEGORIES, LABELS = (f"p{ESCAPE}[1m", "q"), (f"no{ESCAPE}[8m", "yes")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a table, t.csv, whose names and cells are orders to a terminal."""
    lines = (f"{i % 7},{CATEGORIES[i % 2]},{LABELS[i % 2]}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(",".join(NAMES.values()) + "\n" + "".join(lines))
    odd = (f"{i % 7},{CATEGORIES[i % 2]}{i == 9},{LABELS[i % 2]}x\n" for i in range(60))
    (tmp_path / "odd.csv").write_text(",".join(NAMES.values()) + "\n" + "".join(odd))
    (tmp_path / "other.csv").write_text(f"b{ESCAPE}\n1\n")
    (tmp_path / f"{ESCAPE}[5m.csv").write_text("a,a\n1,2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_control_characters_are_escaped_wherever_names_are_printed(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    trained = ["train", "t.csv", "--target", NAMES["target"], *FAST, "--output", "out"]
    commands = [
        (2, ["train", "t.csv"], NAMES.values()),
        (2, ["train", "t.csv", "--target", "?"], NAMES.values()),
        (2, [*trained, "--drop", f"?{ESCAPE}"], [f"?{ESCAPE}"]),
        (0, trained, LABELS),
        (0, ["summary", "out"], [NAMES["number"], NAMES["kind"], *LABELS]),
        (0, ["predict", "out", "t.csv"], LABELS),
        (0, ["evaluate", "out", "t.csv"], []),
        (2, ["predict", "out", "odd.csv"], CATEGORIES),
        (2, ["evaluate", "out", "odd.csv"], LABELS),
        (2, ["predict", "out", "other.csv"], [NAMES["number"], f"b{ESCAPE}"]),
        (2, ["predict", "out", f"{ESCAPE}[5m.csv"], [f"{ESCAPE}[5m.csv"]),
        (2, ["summary", f"none{ESCAPE}"], [f"none{ESCAPE}"]),
        (2, ["train", f"none{ESCAPE}.csv", "--target", "y"], [f"none{ESCAPE}.csv"]),
        (2, ["predict", "out", "t.csv", "--output", f"none/{ESCAPE}"], [f"none/{ESCAPE}"]),
        (2, ["train", "t.csv", f"--{ESCAPE}"], [f"--{ESCAPE}"]),
        (0, ["predict", "out", "t.csv", "--output", f"{ESCAPE}p"], [f"{ESCAPE}p"]),
    ]
    for status, arguments, names in commands:
        assert status_of(*arguments) == status, arguments
        printed = "".join(capsys.readouterr())
        assert printed.replace("\n", "").isprintable(), arguments
        for name in names:
            assert name.replace(ESCAPE, r"\x1b").replace(BELL, r"\x07") in printed, arguments


def test_predictions_for_no_terminal_are_as_they_are(folder, capsys):
    trained = ["train", "t.csv", "--target", NAMES["target"], *FAST, "--output", "out"]
    assert status_of(*trained) == 0
    capsys.readouterr()
    assert status_of("predict", "out", "t.csv") == 0
    out = capsys.readouterr().out
    assert f"probability of {LABELS[0]}" in out
    assert status_of("predict", "out", "t.csv", "--output", "p.csv") == 0
    assert (folder / "p.csv").read_text() == out


def test_what_was_odd_in_the_table_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels = ["None", "007", "42"]
    rows = (f"{i % 7},{i % 5}%,0{i % 2}1,{labels[i % 3]}\n" for i in range(90))
    Path("t.csv").write_text("x,rate,zip,y\n" + "".join(rows))
    assert status_of("train", "t.csv", "--target", "y", *FAST, "--output", "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "t.csv: 60 rows (30 more have no 'y' and are left out; 'None' means missing)"
    assert lines[2].startswith("classification: 2 classes of 'y': '007', '42'")
    assert "categories: column 'rate', since '1%' in line 3 is no plain number" in lines
    assert "categories: column 'zip', since '011' in line 3 has leading zeros" in lines
    assert json.loads(Path("out", METRICS).read_text())["inputs"] == ["x", "rate", "zip"]
    assert status_of("predict", "out", "t.csv") == 0
    found = {line.partition(",")[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert found <= {"007", "42"}


@pytest.mark.parametrize(("name", "cell"), [("x", "1.7976931348623157e308"), ("y", "1e300")])
def test_numbers_that_cannot_be_scaled_are_one_line(name, cell, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = [{"x": f"{i % 7}.5", "y": f"{i * 2}.5"} for i in range(60)]
    cells[8][name] = cell
    Path("t.csv").write_text("x,y\n" + "".join(f"{row['x']},{row['y']}\n" for row in cells))
    assert status_of("train", "t.csv", "--target", "y", *FAST) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"nnpoly train: [^\n]+\n", said)
    assert f"column '{name}' has '{cell}' in line 10, which is too large" in said
