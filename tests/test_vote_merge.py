"""``gradcam vote merge`` and the reader of the files that the live page saves."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner

from gradcam import _cli as cli
from gradcam._methods.bootstrap import bootstrap, share
from gradcam._page import votes

SCENE = "v1/meadow/cat=70,120,80,0/dog=160,120,80,0"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.main, ["vote", "merge", *map(str, arguments)])
    assert result.exit_code == code, result.output
    run.errors = result.stderr
    return result.stdout


def pair(question, method="guided_grad_cam", right=True, session="s000000000001"):
    answer = "cat" if right else "dog"
    return {
        **{"session": session, "seed": 5, "question": question, "kind": "discrimination"},
        **{"method": method, "scene": SCENE, "target": "cat", "answer": answer},
        **{"right": int(right), "score": "", "milliseconds": 1200},
    }


def rated(question, method, target, answer, score, session="s000000000001"):
    return {
        **{"session": session, "seed": 5, "question": question, "kind": "trust"},
        **{"method": method, "scene": "v1/sea/cat=70,120,80,0", "target": target},
        **{"answer": answer, "right": "", "score": score, "milliseconds": 900},
    }


def text(rows):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, votes.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def write(path, rows):
    path.write_text(text(rows), "utf-8", newline="")
    return path


@pytest.fixture
def one(tmp_path):
    rows = [pair(1), pair(2, right=False), pair(3, "saliency")]
    rows += [rated(21, "guided_backprop", "left", "clearly left", 2)]
    return write(tmp_path / "one.csv", rows)


@pytest.fixture
def other(tmp_path):
    session = "s000000000002"
    rows = [pair(1, session=session), pair(2, session=session)]
    rows += [rated(21, "guided_backprop", "left", "slightly right", -1, session)]
    return write(tmp_path / "other.csv", rows)


def row_of(found, kind, method):
    return next(row for row in found["rows"] if (row["kind"], row["method"]) == (kind, method))


def test_the_table_of_a_class(one, other):
    found = json.loads(run(one, other, "--json"))
    assert (found["files"], found["sessions"], found["answers"]) == (2, 2, 7)
    row = row_of(found, "discrimination", "guided_grad_cam")
    assert [row["value"], row["low"], row["high"]] == pytest.approx(share(3, 4)[:3])
    assert (row["answers"], row["counts"], row["paper"]) == (4, [1, 3], 0.6123)
    row = row_of(found, "trust", "guided_backprop")
    assert [row["value"], row["low"], row["high"]] == pytest.approx(bootstrap([2, -1])[:3])
    assert (row["counts"], row["paper"]) == ([0, 1, 0, 0, 1], 1.0)
    row = row_of(found, "discrimination", "deconvnet")
    assert (row["answers"], row["value"], row["low"]) == (0, None, None)
    assert row_of(found, "discrimination", "saliency")["paper"] is None


def test_the_table_for_people(one, other):
    printed = run(one, other)
    assert printed.startswith("7 answers in 2 sessions, from 2 files\n")
    assert "\n\nWhich of two objects does the map explain?\n" in printed
    lines = {" ".join(line.split()) for line in printed.splitlines()}
    assert "Guided Grad-CAM 4 3 75.0 % 30.1 to 95.4 % 61.23 %" in lines
    assert "Simonyan saliency 1 1 100.0 % 20.7 to 100.0 % none" in lines
    assert "Deconvnet 0 0 53.33 %" in lines
    assert "Guided backprop 2 0 1 0 0 1 0.50 -1.00 to 2.00 1.00" in lines
    assert run.errors == ""


def test_an_answer_in_two_files_is_counted_once(one, other, tmp_path):
    """A session that was saved in the middle and again at the end, and a copy."""
    part = write(tmp_path / "part.csv", [pair(1), pair(2, right=False)])
    found = json.loads(run(part, one, other, one, "--json"))
    assert found["answers"] == 7
    assert found["repeated"] == [
        f"{one}: 2 answers of session s000000000001 are in {part} already, and are counted once",
        *(
            f"{one}: 2 answers of session s000000000001 are in {each} already, and are counted once"
            for each in (part, one)
        ),
    ]
    run(one, one)
    assert f"Note: {one}: 4 answers of session s000000000001 are in" in run.errors


def test_a_question_with_two_answers_is_refused(one, tmp_path):
    wrong = write(tmp_path / "wrong.csv", [pair(7), pair(1, right=False)])
    printed = run(one, wrong, code=1)
    assert run.errors == (
        f"Error: {wrong}, line 3: question 1 of session s000000000001 is answered in another way "
        f"in {one}, line 2: keep one of them\n"
    )
    assert printed.startswith("4 answers in 1 session")


CAT = f'"{SCENE}",cat,cat'
DAMAGED = [
    (f"s000000000001,5,1,discrimination,saliency,{CAT},0,,10", "right: expected 1"),
    (f"s000000000001,5,1,discrimination,saliency,{CAT},1,2,10", "score: expected nothing"),
    (f"s000000000001,5,1,discrimination,grad_cam,{CAT},1,,10", "method: expected one of guided"),
    (f"s000000000001,5,1,vote,saliency,{CAT},1,,10", "kind: expected discrimination or trust"),
    (f"s000000000001,5,1,discrimination,saliency,{CAT},1,,-10", "milliseconds: expected a whole"),
    (f"s000000000001,5,0,discrimination,saliency,{CAT},1,,10", "question: expected a whole number"),
    (f"s000000000001,5.5,1,discrimination,saliency,{CAT},1,,10", "seed: expected a whole number"),
    (f"s000000000001,4294967296,1,discrimination,saliency,{CAT},1,,10", "from 0 to 4294967295"),
    (f"1.0E+12,5,1,discrimination,saliency,{CAT},1,,10", "session: expected a name such as"),
    ("s000000000001,5,1,discrimination,saliency,,cat,cat,1,,10", "scene: expected a scene such"),
    (f's000000000001,5,1,discrimination,saliency,"{SCENE}",,,1,,10', "target: expected a class"),
    (f"s000000000001,5,1,discrimination,saliency,{SCENE},cat,cat,1,,10", "expected 11 values, got"),
    ("s000000000001,5,1", "expected 11 values, got 3"),
    (f's000000000001,5,1,discrimination,"saliency"x,{CAT},1,,10', "expected after"),
    (f's000000000001,5,1,discrimination,saliency,"{SCENE}', "unexpected end of data"),
    (f's000000000001,5,21,trust,guided_backprop,"{SCENE}",left,equal,,1,10', "score: expected 0"),
    (f's000000000001,5,21,trust,guided_backprop,"{SCENE}",up,equal,,0,10', "target: expected one"),
    (f's000000000001,5,21,trust,guided_backprop,"{SCENE}",left,same,,0,10', "answer: expected one"),
    (f's000000000001,5,21,trust,saliency,"{SCENE}",left,equal,,0,10', "method: expected one of"),
]


@pytest.mark.parametrize(("line", "message"), DAMAGED)
def test_damaged_rows_are_named(line, message, one, tmp_path):
    file = tmp_path / "damaged.csv"
    file.write_text(text([pair(1)]) + line, "utf-8", newline="")
    with pytest.raises(ValueError, match="line 3: ") as caught:
        votes.read(file)
    assert str(file) in str(caught.value) and message in str(caught.value)
    assert run(one, file, code=1).startswith("4 answers in 1 session")
    assert "damaged.csv, line 3" in run.errors


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (tmp_path / "excel.csv").write_text(text([pair(1)]).replace(",", ";"))
    (tmp_path / "latin.csv").write_bytes(text([pair(1)]).encode() + b"\xe9")
    for name in ("empty.csv", "table.csv", "picture.csv", "excel.csv", "latin.csv", "none.csv"):
        assert run(name, code=2) == ""
        assert run.errors.startswith(f"Error: {name}: "), run.errors
    run("excel.csv", code=2)
    assert "a spreadsheet saved it in another form" in run.errors
    (tmp_path / "nothing.csv").write_text(text([]))
    run("nothing.csv", code=2)
    assert run.errors == "Error: there is no answer in these files.\n"


def test_a_byte_order_mark_and_empty_lines_do_no_harm(one):
    content = one.read_text("utf-8").replace("\n", "\n\n")
    one.write_text(content, "utf-8-sig")
    assert len(votes.read(one)) == 4


def test_the_table_is_written_and_written_again(one, other, tmp_path):
    """`*.csv` has the table of the run before in it."""
    run(one, "--out", "class.csv")
    files = sorted(tmp_path.glob("*.csv"))
    assert len(files) == 3
    assert "Written to class.csv" in run(*files, "--out", "class.csv")
    assert "class.csv is a table of this command: left out." in run.errors
    with open("class.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 and tuple(rows[0]) == votes.TABLE
    first, saliency = rows[0], rows[4]
    expected = share(3, 4)
    assert [float(first[each]) for each in ("value", "low", "high")] == list(expected[:3])
    assert (first["answers"], first["paper"], saliency["paper"]) == ("4", "0.6123", "")
    assert rows[2]["method"] == "deconvnet" and rows[2]["value"] == ""


def test_no_other_file_is_replaced(one, tmp_path):
    before = one.read_bytes()
    run(one, "--out", one, code=2)
    assert "is read, and what is written would replace it" in run.errors
    (tmp_path / "mine.csv").write_text("a,b\n")
    run(one, "--out", "mine.csv", code=2)
    assert "which is not a table of this command" in run.errors
    for name in ("table.txt", "missing/table.csv"):
        run(one, "--out", name, code=2)
    assert one.read_bytes() == before
    assert (tmp_path / "mine.csv").read_text() == "a,b\n"


def test_nothing_is_written_without_answers(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n")
    run("other.csv", "--out", "class.csv", code=2)
    assert not (tmp_path / "class.csv").exists()
