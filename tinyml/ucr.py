"""Files of the UCR and UEA archives: series with labels, as .tsv, .txt or .ts.

A .tsv or .txt file is a table: on each line a label, then the values of one series of one sensor.

    1    -0.647    -0.641    -0.638

A .ts file has a header. Each line after @data is one sample: the sensors between colons, the label
last.

    @problemName Motions
    @timeStamps false
    @classLabel true Running Walking
    @data
    0.1,0.2,0.3:1.5,1.4,1.2:Running

Sources: Dau et al. 2019, The UCR time series archive (univariate); Bagnall et al. 2018, The UEA
multivariate time series classification archive (the .ts format).
"""
import re
from pathlib import Path

import numpy as np

from tinyml.check import check_number, check_sizes

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")    # not 0,5 or 1_000
MISSING = {"", "?", "nan"}
LARGEST = float(np.finfo(np.float32).max)


def load_ucr(path, *, classes=None, length=None):
    """Read labelled series from a .tsv, .txt or .ts file of the UCR or UEA archive.

    The content tells the format: a .ts file begins with a line that starts with "@".
    Lines that start with "#" or "%" are comments. The text is UTF-8, with or without a byte-order
    mark.

    In a table, tabs, commas or spaces separate the fields, the same on every line. "NaN", "?" or
    an empty field is a missing value. Missing values at the end of a line mean that the series is
    shorter. Other gaps are filled by linear interpolation, at the start with the first value.

    In a .ts file, missing values and time stamps are refused.

    Parameters
    ----------
    path : path-like
    classes : array_like, or None
        The labels that become 0, 1, 2 ... in ascending order. To read a test file, pass the
        classes of its training file. None: the labels that the header of a .ts file declares,
        or those of the table.
    length : int >= 2, or None
        T, to which every series is resampled, linearly in time: value j is read at the time
        j (T_i - 1)/(T - 1) of a series of T_i values. None: all series must be equally long, and
        stay as they are.

    Returns
    -------
    X : ndarray of float32, shape (N, C, T): samples, sensors, times; C = 1 for a table
    y : ndarray of int64, shape (N,), 0..k-1, so that classes[y] are the labels of the file
    classes : ndarray of float64, shape (k,), or of str if the labels are words

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the message names the file and the line: text that is not UTF-8, no series, a
        field that is not a number (a decimal comma, 1_000, infinity), a value that float32 cannot
        hold, a line without label or values, series of unequal lengths while length is None,
        sensors of unequal lengths, a header that the data contradict, a label that is not in
        classes
    """
    if length is not None:
        check_sizes("load_ucr", length=length)
        check_number("load_ucr", "length", length, at_least=2)
    lines = _lines(path)
    if not lines:
        raise ValueError(f"load_ucr: {path} must hold a series, got an empty file")
    read = _read_ts if lines[0][1].startswith("@") else _read_table
    names, series, declared = read(path, lines)
    if classes is None:
        classes = declared or names
    labels, classes = _labels(path, names, classes, declared)
    X = _stacked(path, series, length).astype(np.float32)
    return X, np.searchsorted(classes, labels), classes


def _lines(path):
    """[(line number, line)] without blank lines and comments, or an error that names the file."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"load_ucr: {path} must be UTF-8 text, got byte "
                         f"{error.object[error.start]:#04x} at {error.start}; save it as "
                         "UTF-8") from None
    numbered = enumerate(re.split(r"\r\n|\n|\r", text), 1)    # splitlines splits at form feeds too
    return [(i, line.strip(" ")) for i, line in numbered
            if line.strip(" \t") and line.lstrip(" \t")[0] not in "#%"]


def _read_table(path, lines):
    """Labels, series (1, T_i) and None, from lines of a label and values."""
    first = lines[0][1]
    separator = "\t" if "\t" in first.strip(" \t") else "," if "," in first else " +"
    names, series = [], []
    for i, line in lines:
        where = f"{path}, line {i}"
        fields = [field.strip(" ") for field in re.split(separator, line)]
        name, values = fields[0], _numbers(fields[1:], where)
        there = np.flatnonzero(~np.isnan(values))
        if name.lower() in MISSING or not len(there):
            raise ValueError(f"load_ucr: {where} must hold a label and finite values, got "
                             f"{line[:40]!r}")
        times = np.arange(there[-1] + 1)    # the series ends with its last value
        names.append(name)
        series.append(np.interp(times, there, values[there])[None])
    return names, series, None


def _read_ts(path, lines):
    """Labels, series (C, T_i) and the declared labels, from the lines of a .ts file."""
    header, data = _split_ts(path, lines)
    if _flag(path, header, "@timeStamps"):
        raise ValueError(f"load_ucr: {path} must have values without time stamps, got @timeStamps "
                         "true; write the values alone, at equal intervals")
    declared = header["@classlabel"][1:] if _flag(path, header, "@classLabel") else []
    if not declared:
        raise ValueError(f"load_ucr: {path} must declare its labels, got no @classLabel true with "
                         "labels")
    names, series = [], []
    for i, line in data:
        where = f"{path}, line {i}"
        name, rows = _read_sample(line, declared, where)
        _obey(header, rows, where)
        names.append(name)
        series.append(np.array(rows))
    n_sensors = sorted({len(x) for x in series})
    if len(n_sensors) > 1:
        raise ValueError(f"load_ucr: {path} must have as many sensors in every sample, got "
                         f"{n_sensors}")
    return names, series, declared


def _split_ts(path, lines):
    """{tag: words} of the header of a .ts file, and the lines after @data."""
    header, n_tags = {}, 0
    for i, line in lines:
        if not line.startswith("@"):
            raise ValueError(f"load_ucr: {path}, line {i} must be a tag or @data, got "
                             f"{line[:40]!r}")
        tag, *words = line.split()
        header[tag.lower()] = words
        n_tags += 1
        if tag.lower() == "@data":
            break
    data = lines[n_tags:]
    if "@data" not in header or not data:
        raise ValueError(f"load_ucr: {path} must hold a series after @data, got none")
    return header, data


def _read_sample(line, declared, where):
    """The label of a line of a .ts file, and the values of each sensor."""
    *sensors, name = line.split(":")
    rows = [_numbers([v.strip(" \t") for v in sensor.split(",")], where) for sensor in sensors]
    name = name.strip(" \t")
    if not rows or name not in declared:
        raise ValueError(f"load_ucr: {where} must end with a colon and a label of {declared}, "
                         f"got {line[-40:]!r}")
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        raise ValueError(f"load_ucr: {where} must have sensors of one length, got {lengths}")
    if np.isnan(rows).any():
        raise ValueError(f"load_ucr: {where} must hold no missing values, got '?' or NaN; "
                         "fill them, or leave the series out")
    return name, rows


def _flag(path, header, tag):
    """Whether a tag of the header is true; false if it is absent."""
    value = (header.get(tag.lower()) or ["false"])[0].lower()
    if value not in ("true", "false"):
        raise ValueError(f"load_ucr: {path} must have {tag} true or false, got {value!r}")
    return value == "true"


def _obey(header, rows, where):
    """Raise ValueError unless the numbers of sensors and values are those of the header."""
    equal = (header.get("@equallength") or ["true"])[0].lower() == "true"
    univariate = (header.get("@univariate") or ["false"])[0].lower() == "true"
    sensors = header.get("@dimensions") or header.get("@dimension") or ["1"] * univariate
    declared = {"sensors": sensors, "values": header.get("@serieslength") if equal else None}
    for what, found in (("sensors", len(rows)), ("values", len(rows[0]))):
        if declared[what] and declared[what][0] != str(found):
            raise ValueError(f"load_ucr: {where} must have {what}: {declared[what][0]}, as the "
                             f"header says, got {found}")


def _numbers(fields, where):
    """The fields as float64, NaN where a value is missing."""
    for field in fields:
        if field.lower() not in MISSING and not NUMBER.fullmatch(field):
            raise ValueError(f"load_ucr: {where} must hold numbers, got {field[:40]!r}; write "
                             "them like -1.5e-3")
    row = np.array([np.nan if field.lower() in MISSING else float(field) for field in fields])
    large = np.flatnonzero(np.abs(row) > LARGEST)
    if len(large):
        raise ValueError(f"load_ucr: {where} must hold finite values of float32, at most "
                         f"{LARGEST:.4g}, got {fields[large[0]][:40]!r}")
    return row


def _labels(path, names, classes, declared):
    """The labels of the file and the sorted classes: float64 if all labels are numbers, or str."""
    are_words = not all(NUMBER.fullmatch(name) for name in declared or names)
    odd = [name for name in names if not name[:1].isalpha() or name.lower() in ("inf", "infinity")]
    if are_words and declared is None and odd:
        raise ValueError(f"load_ucr: {path} must have labels that are all numbers, or all words "
                         f"that begin with a letter, got {odd[0][:40]!r}")
    dtype = str if are_words else np.float64
    labels = np.array(names, dtype)
    try:
        classes = np.unique(np.array(np.ravel(classes).tolist(), dtype))
    except ValueError:
        raise ValueError(f"load_ucr: classes must be numbers, as the labels of {path} are, got "
                         f"{np.ravel(classes).tolist()}") from None
    missing = ~np.isin(labels, classes)
    if missing.any() or not (are_words or np.isfinite(classes).all()):
        name = names[missing.argmax()]
        raise ValueError(f"load_ucr: classes must be finite and hold every label of {path}, got "
                         f"no {name} in {classes.tolist()}")
    return labels, classes


def _stacked(path, series, length):
    """Series (C, T_i) as one array (N, C, T), resampled to `length` if that is given."""
    if length is not None:
        series = [_resampled(x, length) for x in series]
    lengths = sorted({x.shape[1] for x in series})
    if len(lengths) > 1:
        raise ValueError(f"load_ucr: {path} must hold series of one length, got {lengths[0]} to "
                         f"{lengths[-1]}; write length={lengths[-1]} to stretch them")
    return np.stack(series)


def _resampled(x, length):
    """A series x (C, T_i) at `length` equally spaced times from its first to its last."""
    old_times = np.arange(x.shape[1])
    new_times = np.linspace(0, x.shape[1] - 1, length)
    return np.stack([np.interp(new_times, old_times, sensor) for sensor in x])
