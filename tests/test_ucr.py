"""The laws of UCR and UEA files: what was written is read, what is unclear is refused by line."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import put, rngs

from tinyml.selfsupervised import series
from tinyml.ucr import load_ucr

sizes = st.integers(1, 5)
LABELS = st.sampled_from([["1", "2"], ["-1", "1"], ["0.5", "7e0"], ["walk", "run"]])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file to write again and again; its name must stand in every error."""
    return tmp_path_factory.mktemp("ucr") / "Motion_TRAIN.tsv"


def refused(path, data, *words, **options):
    put(path, data.encode() if isinstance(data, str) else data)
    with pytest.raises(ValueError) as error:
        load_ucr(path, **options)
    message = str(error.value)
    assert message.startswith("load_ucr: ") and "Motion_TRAIN.tsv" in message
    for word in words:
        assert word in message, message


# ------------------------------------------------------------ what was written is read

@given(rng=rngs, n=sizes, length=sizes, labels=LABELS, end=ENDS, trailing=st.booleans(),
       separator=st.sampled_from(["\t", ",", " ", "  ", ", "]),
       mark=st.sampled_from(["", "\ufeff"]), comment=st.booleans())
def test_a_table_comes_back_as_it_was_written(path, rng, n, length, labels, end, trailing,
                                              separator, mark, comment):
    X, names = rng.standard_normal((n, length)).astype(np.float32), rng.choice(labels, n)
    lines = ["# a comment"] * comment
    lines += [separator.join([name, *map(repr, row.tolist())]) + separator * trailing
              for name, row in zip(names, X)]
    put(path, (mark + end.join(lines) + 2 * end).encode())
    again, y, classes = load_ucr(path)
    assert_array_equal(again, X[:, None], strict=True)
    expected = names if labels == ["walk", "run"] else names.astype(float)
    assert_array_equal(classes[y], expected)
    assert_array_equal(classes, np.unique(expected))
    assert y.dtype == np.int64


@given(rng=rngs, n=sizes, sensors=sizes, length=sizes, end=ENDS, labels=LABELS, tags=st.booleans())
def test_a_ts_file_comes_back_as_it_was_written(path, rng, n, sensors, length, end, labels, tags):
    X, names = rng.standard_normal((n, sensors, length)).astype(np.float32), rng.choice(labels, n)
    header = ["# about the data", "@problemName Motion", f"@CLASSLABEL true {' '.join(labels)}"]
    if tags:
        header += [f"@univariate {str(sensors == 1).lower()}", f"@dimensions {sensors}",
                   "@timeStamps false", "@missing false", "@equalLength true", f"@seriesLength {length}"]
    rows = [":".join([*(",".join(map(repr, sensor.tolist())) for sensor in x), name])
            for x, name in zip(X, names)]
    put(path, end.join([*header, "@data", *rows, ""]).encode())
    again, y, classes = load_ucr(path)
    assert_array_equal(again, X, strict=True)
    as_labels = np.array(labels, str if labels == ["walk", "run"] else float)
    assert_array_equal(classes, np.sort(as_labels))    # of the header, also those without a series
    assert_array_equal(classes[y], names.astype(as_labels.dtype))


def test_both_formats_give_the_same_arrays(path, tmp_path):
    path.write_text("1\t0.5\t0.25\n2\t3\t4\n")
    (tmp_path / "x.ts").write_text("@classLabel true 1 2\n@data\n0.5,0.25:1\n3,4:2\n")
    for one, other in zip(load_ucr(path), load_ucr(tmp_path / "x.ts")):
        assert_array_equal(one, other, strict=True)
    assert series.load_ucr is load_ucr


def test_gaps_are_filled_and_missing_values_at_the_end_are_not_values(path):
    path.write_text("1\tNaN\t2\t\t?\t5\tNaN\n3\t4\t4\tnan\t7\t7\t\n")
    X, y, classes = load_ucr(path)
    assert_array_equal(X[:, 0], [[2, 2, 3, 4, 5], [4, 4, 5.5, 7, 7]])
    assert y.tolist() == [0, 1] and classes.tolist() == [1, 3]


def test_series_of_unequal_lengths_are_stretched_on_request(path):
    refused(path, "1 0 2\n2 0 1 2 3 4\n", "series of one length, got 2 to 5; write length=5 to")
    X, _, _ = load_ucr(path, length=5)
    assert_array_equal(X[:, 0], [[0, 0.5, 1, 1.5, 2], [0, 1, 2, 3, 4]])
    assert_array_equal(load_ucr(path, length=2)[0][:, 0], [[0, 2], [0, 4]])
    path.write_text("@equalLength false\n@classLabel true a b\n@data\n0,2:4,8:a\n0,1,2:4,4,4:b\n")
    X, _, _ = load_ucr(path, length=3)
    assert_array_equal(X, [[[0, 1, 2], [4, 6, 8]], [[0, 1, 2], [4, 4, 4]]])


def test_a_test_file_is_read_with_the_classes_of_its_training_file(path):
    path.write_text("5,1,2\n3,0,0\n")
    for classes in ([1, 3, 5], [5, 3, 1], ["1", "3", "5"], np.array([1.0, 3, 5])):
        assert load_ucr(path, classes=classes)[1].tolist() == [2, 1]
    path.write_text("walk,1,2\n")
    assert load_ucr(path, classes=["walk", "jump"])[1].tolist() == [1]


# ------------------------------------------------------------ what is unclear is refused

@settings(max_examples=120)
@given(field=st.text(min_size=1, max_size=6), separator=st.sampled_from(["\t", ",", " "]))
def test_any_text_in_the_place_of_a_value_is_a_plain_number_or_refused(path, field, separator):
    """The reader's rule: a number has digits, one point, an exponent, and nothing else."""
    if set(field) & {separator, "\n", "\r"} or field.strip(" ").lower() in ("", "?", "nan"):
        return
    put(path, separator.join(["1", "2", field, "3\n"]).encode(errors="replace"))
    try:
        X, _, _ = load_ucr(path)
    except ValueError as error:
        assert "Motion_TRAIN.tsv" in str(error)
        return
    assert set(field) <= set("0123456789+-.eE ")
    assert_array_equal(X[0, 0], np.array([2, float(field), 3], np.float32))


@pytest.mark.parametrize("field", [
    "0,5", "1_000", "1e39", "-3.5e38", "inf", "-Infinity",
    "2\x0b3", "2\x0c", "\x0c", "2\x853", "2\x1c3", "2\u20283",
    "\u0663", "0x10", "1e", "1.2.3", "(0", "two", "1 2", "1'000", "\u22121", "1\x00"])
@pytest.mark.parametrize("line", ["1\t2\t{}\t3\n", "1\t2\t3\n2\t3\t{}\n"])
def test_what_is_no_number_is_refused_with_its_line(path, field, line):
    refused(path, line.format(field), f", line {line.count(chr(10))} must hold")


@pytest.mark.parametrize("data, words", [
    ("", "got an empty file"), ("\n \n\t\n", "got an empty file"), ("\ufeff", "got an empty file"),
    ("# 1 2\n", "got an empty file"),
    ("1\n", "line 1 must hold a label and finite values, got '1'"),
    ("1,NaN,NaN\n", "line 1 must hold a label and finite values"),
    (",1,2\n", "line 1 must hold a label"),
    ("nan,1,2\n", "line 1 must hold a label"), ("1;2;3\n", "line 1 must hold a label"),
    ("1 0,5 0,7\n", "got '5 0'"), ("1 0,5\n", "got '1 0'"), ("1,0\t2\n", "got '1,0'"),
    ("1_0\t2\n", "got '1_0'"),
    ("a\t2\n1\t2\n", "got '1'"), ("inf\t2\n", "got 'inf'"), ("1e999\t2\n", "got no 1e999"),
    ("1\t2\xe9".encode("latin-1"), "UTF-8"), ("1\t2\t3\n".encode("utf-16"), "UTF-8"),
    ("1\t2\t3\n".encode("utf-16-le"), "line 1 must hold"), (b"\x1f\x8b\x08\x00", "UTF-8"),
    ("@classLabel true a b\n@data\n1,2:3,4:a\n5,6:b\n", "as many sensors in every sample, got [1, 2]"),
    ("@classLabel true a b\n@data\n1,2:a\n5,6,7:b\n", "series of one length, got 2 to 3"),
    ("@classLabel true a\n@data\n1,2:3:a\n", "line 3 must have sensors of one length, got [2, 1]"),
    ("@classLabel true a\n@data\n1,?:a\n", "line 3 must hold no missing values"),
    ("@classLabel true a\n@data\n1,NaN:a\n", "line 3 must hold no missing values"),
    ("@classLabel true a\n@data\n1,1e39:a\n", "line 3 must hold finite values"),
    ("@timeStamps true\n@classLabel true a\n@data\n(0,1):a\n", "time stamps"),
    ("@timeStamps perhaps\n@classLabel true a\n@data\n1:a\n", "@timeStamps true or false, got 'perhaps'"),
    ("@classLabel false\n@data\n1,2\n", "declare its labels"),
    ("@data\n1,2:a\n", "declare its labels"),
    ("@classLabel true a\n@data\n1,2:c\n", "line 3 must end with a colon and a label of ['a']"),
    ("@classLabel true a\n@data\n1,2\n", "line 3 must end with a colon and a label"),
    ("@classLabel true a\n@data\na\n", "line 3 must end with a colon and a label"),
    ("@classLabel true a\n@data\n", "after @data, got none"),
    ("@classLabel true a\n", "after @data, got none"),
    ("@classLabel true a\n1,2:a\n", "line 2 must be a tag or @data"),
    ("@dimensions 2\n@classLabel true a\n@data\n1,2:a\n", "must have sensors: 2"),
    ("@univariate true\n@classLabel true a\n@data\n1,2:1,2:a\n", "must have sensors: 1"),
    ("@seriesLength 3\n@classLabel true a\n@data\n1,2:a\n", "must have values: 3"),
])
def test_a_file_that_is_no_set_of_series_is_refused(path, data, words):
    refused(path, data, words)


@pytest.mark.parametrize("classes", [[1, 3], ["a"], [np.nan, 5], []])
def test_classes_must_hold_the_labels(path, classes):
    refused(path, "5,1,2\n", "classes must", classes=classes)


@pytest.mark.parametrize("length", [1, 0, 2.5])
def test_a_length_is_an_integer_of_two_or_more(path, length):
    path.write_text("1,2,3\n")
    with pytest.raises(ValueError, match="load_ucr: length must be"):
        load_ucr(path, length=length)
