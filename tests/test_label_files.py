"""Files of labels: all supported formats, and files that are refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcam
from gradcam import Labels, imagenet

SYNSETS = ["n01440764", "n01443537", "n01484850"]
NAMES = ["tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, man-eater"]
CLASSES = list(zip(SYNSETS, NAMES, strict=True))
PLAIN = ["", "", ""]


def lines(*texts: str) -> str:
    return "\n".join(texts) + "\n"


def described(labels: Labels) -> list[tuple[str, str]]:
    return [(target.synset, target.label) for target in labels]


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "labels.any"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- formats: name, content, synsets ---

SHORT = ["tench", "goldfish", "great white shark"]
FORMATS = {
    "one label per line": (lines(*NAMES), PLAIN, NAMES),
    "numbered with a colon": (lines(*(f"{i}: {n}" for i, n in enumerate(NAMES))), PLAIN, NAMES),
    "numbered with a space": (lines(*(f"{i} {n}" for i, n in enumerate(NAMES))), PLAIN, NAMES),
    "numbered in another order": (lines("2 c", "0 a", "1 b"), PLAIN, ["a", "b", "c"]),
    "Caffe's synset_words.txt": (lines(*(f"{s} {n}" for s, n in CLASSES)), SYNSETS, NAMES),
    "numbered synsets": (
        lines(*(f"{i} {s} {n}" for i, (s, n) in enumerate(CLASSES))),
        SYNSETS,
        NAMES,
    ),
    "synsets alone": (lines(*SYNSETS), SYNSETS, SYNSETS),
    "digits alone": (lines("7", "8", "9"), PLAIN, ["7", "8", "9"]),
    "a number among labels": (lines("18 wheeler", "car"), ["", ""], ["18 wheeler", "car"]),
    "tsv, synset and label": (lines(*(f"{s}\t{n}" for s, n in CLASSES)), SYNSETS, NAMES),
    "tsv, index and label": (lines("1\tgoldfish", "0\ttench"), ["", ""], ["tench", "goldfish"]),
    "tsv, all three, any order": (
        lines(*(f"{n}\t{s}\t{i}" for i, (s, n) in enumerate(CLASSES))),
        SYNSETS,
        NAMES,
    ),
    "tsv with a header": (
        lines("Label\tIndex\tSynset", *(f"{n}\t{i}\t{s}" for i, (s, n) in enumerate(CLASSES))),
        SYNSETS,
        NAMES,
    ),
    "digits with a header": (lines("index\tlabel", "0\t7", "1\t8"), ["", ""], ["7", "8"]),
    "a header and any synset": (lines("wnid\tname", "x1\ta", "\tb"), ["x1", ""], ["a", "b"]),
    "csv": (lines(*(f'{i},{s},"{n}"' for i, (s, n) in enumerate(CLASSES))), SYNSETS, NAMES),
    "csv with a header": (lines("label,index", "b,1", "a,0"), ["", ""], ["a", "b"]),
    "csv, all quoted": (lines('"index","label"', '"0","a"', '"1","b"'), ["", ""], ["a", "b"]),
    "csv of pandas": (lines(",label", "0,a", "1,b"), ["", ""], ["a", "b"]),
    "csv with semicolons": (lines("0;a, b", "1;c"), ["", ""], ["a, b", "c"]),
    "json list": (json.dumps(NAMES), PLAIN, NAMES),
    "json pairs": (json.dumps(CLASSES), SYNSETS, NAMES),
    "Keras's imagenet_class_index.json": (
        json.dumps({str(i): pair for i, pair in enumerate(CLASSES)}),
        SYNSETS,
        NAMES,
    ),
    "json, index to label": (json.dumps(dict(enumerate(NAMES)), indent=2), PLAIN, NAMES),
    "json, label to index": (json.dumps({"b": 1, "a": 0}), ["", ""], ["a", "b"]),
    "json, digits to index": (json.dumps({"9": 1, "8": 0}), ["", ""], ["8", "9"]),
    "Hugging Face's config.json": (
        json.dumps(
            {
                "architectures": ["X"],
                "id2label": dict(enumerate(NAMES)),
                "label2id": {name: i for i, name in enumerate(NAMES)},
            }
        ),
        PLAIN,
        NAMES,
    ),
    "only label2id": (json.dumps({"label2id": {"b": 1, "a": 0}}), ["", ""], ["a", "b"]),
    "a Python dict as printed": (str(dict(enumerate([*NAMES, "jack-o'-lantern"]))), [""] * 4, None),
    "a Python dict, a line each": (
        "{0: 'tench',\n 1: \"it's \\\"this\\\"\",\n 2: 'that\\'s',\n}\n",
        PLAIN,
        ["tench", 'it\'s "this"', "that's"],
    ),
    "one class": ("cat", [""], ["cat"]),
    "equal labels": (lines("crane", "maillot", "crane"), PLAIN, ["crane", "maillot", "crane"]),
    "other scripts": (lines("猫", "собака", "été 🐈"), PLAIN, ["猫", "собака", "été 🐈"]),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("end", ["unchanged", "Windows", "old Mac", "no line end", "BOM", "blanks"])
def test_formats(name, end, tmp_path):
    content, synsets, names = FORMATS[name]
    names = names or [*NAMES, "jack-o'-lantern"]
    raw = {
        "unchanged": content,
        "Windows": content.replace("\n", "\r\n"),
        "old Mac": content.replace("\n", "\r"),
        "no line end": content.rstrip("\n"),
        "BOM": "\ufeff" + content,
        "blanks": content + "\n \n",
    }[end]
    found = Labels.read(written(tmp_path, raw))
    assert described(found) == list(zip(synsets, names, strict=True))
    assert [target.index for target in found] == list(range(len(names)))


def test_the_path_may_be_a_string(tmp_path):
    assert len(Labels.read(str(written(tmp_path, "a\nb")))) == 2


def test_imagenet_in_every_format(tmp_path):
    """All 1000 classes in the format of each tool; formats with indices in random order."""
    labels = imagenet.labels()
    table = [(target.index, target.synset, target.label) for target in labels]
    mixed = random.Random(0).sample(table, len(table))
    forms = [
        lines(*(f"{s} {n}" for _, s, n in table)),
        lines(*(f"{i}: {s} {n}" for i, s, n in mixed)),
        lines("label,index,synset", *(f"{n},{i},{s}" for i, s, n in mixed)),
        json.dumps({str(i): [s, n] for i, s, n in mixed}),
    ]
    for form in forms:
        assert described(Labels.read(written(tmp_path, form))) == described(labels)


def test_every_name_in_a_label_finds_the_class(tmp_path):
    labels = Labels.read(written(tmp_path, FORMATS["Caffe's synset_words.txt"][0]))
    for name in ("tench, Tinca tinca", "tench", "Tinca_tinca", "TINCA TINCA", "n01440764"):
        assert labels.find(name).index == 0
    assert labels.find("man-eater").index == 2
    assert "tinca" not in labels


def test_a_whole_label_overrides_one_of_several_names():
    labels = Labels(["crane, bird", "crane", "heron, bird"])
    assert labels.find("crane").index == 1
    assert labels.find("crane, bird").index == 0
    with pytest.raises(ValueError, match=r"names 2 classes.* 0 .* or 2"):
        labels.find("bird")


def test_accents_are_found_in_every_encoding_of_unicode():
    assert Labels(["caf\u00e9", "tea"]).find("cafe\u0301").index == 0


def test_labels_from_a_file_in_a_network(tmp_path):
    labels = Labels.read(written(tmp_path, "doctor\nnurse\n"))
    network = gradcam.vgg16(gradcam.vgg16.random_tensors(width=2, fc=4, classes=2), labels=labels)
    assert network.labels.find("nurse").index == 1


# --- files that are refused ---

BAD = {
    "empty": ("", "empty"),
    "blank": (" \n\n\t\n", "empty"),
    "only a BOM": ("\ufeff\n", "empty"),
    "binary": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "line 1 is not text in UTF-8"),
    "latin-1": ("cat\ncaf\u00e9\n".encode("latin-1"), "line 2 is not text in UTF-8"),
    "zeros": (bytes(100), "binary"),
    "utf-16": ("cat\ndog\n".encode("utf-16"), "UTF-16"),
    "a web page": ("<!DOCTYPE html><html>\n404", "web page"),
    "LFS": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS"),
    "an empty line": ("cat\n\ndog\n", "line 2 is empty"),
    "missing index in the middle": ("0 cat\n1 dog\n3 cow\n", "no class has index 2"),
    "indices from one": ("1: cat\n2: dog\n", "no class has index 0"),
    "duplicate index": ("0: cat\n1: dog\n1: cow\n", "line 2 and line 3 both have index 1"),
    "an index missing": ("0 cat\ndog\n2 cow\n", "line 2 has no index"),
    "an index without label": ("0: cat\n1:\n", "line 2 has no label"),
    "a synset twice": (f"{SYNSETS[0]} a\n{SYNSETS[0]} b\n", "line 1 and line 2 both have synset"),
    "a synset missing": (f"{SYNSETS[0]} a\nb\n", "line 2 has no synset"),
    "the first synset missing": (f"background\n{SYNSETS[0]} a\n", "line 1 has no synset"),
    "too many columns": ("0\tcat\tfelis\n1\tdog\tcanis\n", "line 1 has 3 columns"),
    "two indices": ("0\t7\n1\t8\n", "line 1 has 2 columns"),
    "an unknown column": ("label\tweight\ncat\t1\n", "line 1: the column 'weight' is unknown"),
    "an unknown column of a csv": ("weight,label\n1,cat\n", "the column 'weight' is unknown"),
    "duplicate column": ("label,name\ncat,dog\n", "line 1: the column 'name' has the same meaning"),
    "row with more columns": (
        "0,cat\n1,dog,canis\n",
        "line 2 has 3 columns, but the first line has 2",
    ),
    "row with fewer columns": ("0\tcat\n1\n", "line 2 has 1 columns, but the first line has 2"),
    "text as index": ("0\tcat\nx\tdog\n", "line 2: 'x' is not an index"),
    "text as synset": (f"{SYNSETS[0]}\tcat\nx\tdog\n", "line 2: 'x' is not a synset"),
    "a negative index": ("0,cat\n-1,dog\n", "line 2: '-1' is not an index"),
    "a very long index": ("index,label\n" + "9" * 5000 + ",cat\n", "line 2: '9+' is not an index"),
    "an index too large": ("999999999,cat\n0,dog\n", "no class has index 1"),
    "an open quote": ('0,"cat\n1,dog\n', "line 1 cannot be split"),
    "text after a quote": ('"0"x\tcat\n', "line 1 cannot be split"),
    "a label of two lines": ('0,"a\nb"\n1,c\n', "line 2 contains a character"),
    "only a header": ("index,label\n", "contains no class"),
    "a terminal sequence": (
        "cat\nd\x1b[31mog\n",
        "contains a character that cannot be printed",
    ),
    "tab in a label": ("cat\ndog\tcanis\n", "contains a character that cannot be printed"),
    "lone surrogate": (r'["cat", "\ud800"]', "entry 1 contains a character that cannot be printed"),
    "broken json": ('{\n"0": "cat",\n"1" "dog"}', "line 3, column 5"),
    "truncated json": ('["cat", "do', "line 1, column 9"),
    "truncated Python": ("{0: 'cat', 1: 'do", "line 1, column 2"),
    "Python expression": ("{0: __import__('os').getcwd()}", "line 1, column 2"),
    "json numbers": ("[1, 2]", "entry 0 is neither"),
    "json triples": ('[["a", "b", "c"]]', "entry 0 is neither"),
    "json nulls": ('{"0": null}', "entry '0' is neither"),
    "json with mixed keys": ('{"0": "cat", "dog": "cow"}', "'dog' is not an index"),
    "json booleans": ('{"cat": true}', "'cat' is not an index"),
    "json key twice": ('{"0": "cat", "0": "dog"}', "key '0' is used twice"),
    "json very long number": ('{"cat": %s}' % ("9" * 5000), "the number 9+... is not an index"),
    "json with a missing index": ('{"0": "cat", "2": "dog"}', "no class has index 1"),
    "json same number": ('{"0": "cat", "00": "dog"}', "both have index 0"),
    "json negative": ('{"cat": -1, "dog": 0}', "no class has index 1"),
    "json empty list": ("[]", "contains no class"),
    "json empty": ("{}", "contains no class"),
    "json empty label": ('["cat", " "]', "entry 1 has no label"),
    "json deep": ("[" * 200_000, "nested|JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_error_messages_of_bad_files(name, tmp_path):
    content, match = BAD[name]
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=match) as caught:
        Labels.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < len(str(path)) + 250 and "\n" not in message and message.isprintable()


def test_large_files_are_refused_without_reading(tmp_path):
    path = tmp_path / "weights.pth"
    with open(path, "wb") as file:
        file.write(b"cat\n")
        file.truncate(1 << 40)  # sparse: needs no disk space
    with pytest.raises(ValueError, match="4 MB"):
        Labels.read(path)


def test_missing_files_and_folders_raise_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        Labels.read(tmp_path / "none")
    with pytest.raises(OSError):
        Labels.read(tmp_path)


SAMPLES = [content for content, *_ in [*FORMATS.values(), *BAD.values()] if len(content) < 2000]
SAMPLES = [each.encode() if isinstance(each, str) else each for each in SAMPLES]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_are_read_or_refused(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    try:
        found = Labels.read(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and str(error).isprintable()
    else:
        assert all(target.label.strip() for target in found)


@pytest.mark.parametrize("separator", [",", " ", ": ", ";"])
def test_an_index_after_its_label_is_refused(separator, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(f"doctor{separator}1\nnurse{separator}0\n")
    with pytest.raises(ValueError, match=r"labels\.txt: each line seems to end with an index"):
        Labels.read(path)
    path.write_text("area 51\nroute 66\n")
    assert [target.label for target in Labels.read(path)] == ["area 51", "route 66"]
