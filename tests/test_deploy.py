"""The laws of deployment: raw pixels in, equal bits out in any process."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.coding.storage import save_compressed
from tinyml.data import digits
from tinyml.nn import save_model
from tinyml.pictures import write_pgm
from tinyml.selfsupervised.deploy import (
    Classifier,
    classify_file,
    find_class,
    load_classifier,
    main,
)
from tinyml.selfsupervised.downstream import UnitLength
from tinyml.train import predict

ROOT = Path(__file__).parents[1]
maxima = st.sampled_from([1, 16, 255, 65535])


def classifier(rng, shape=(8, 8), labels=range(10), maximum=16, outputs=None):
    encoder = nn.Sequential(nn.Linear(shape[0] * shape[1], 12, rng=rng), nn.BatchNorm1d(12), nn.ReLU(),
                            nn.Dropout(0.5, rng=rng), UnitLength())
    head = nn.Linear(12, outputs or len(labels), rng=rng)
    return Classifier(encoder, head, labels=labels, shape=shape, maximum=maximum)


def raw_digits(n):
    X, y = digits()
    return (X[:n].reshape(-1, 8, 8) * 16).astype(int), X[:n], y[:n]


def python(*arguments):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file to write again and again."""
    return tmp_path_factory.mktemp("pgm") / "image.pgm"


# ------------------------------------------------------------ the classifier

def test_it_is_the_composition_of_scaling_encoder_and_head():
    raw, X, _ = raw_digits(7)
    model = classifier(np.random.default_rng(0), labels=list("abcdefghij"))
    logits = predict(model.head, predict(model.encoder, X))    # X is what the encoder has seen in training
    p = model.probabilities(raw)
    assert p.dtype == np.float32 and p.shape == (7, 10)
    e = np.exp(logits.astype(float))
    assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert model.classify(raw) == ["abcdefghij"[i] for i in logits.argmax(axis=1)]
    assert_array_equal(model.probabilities(raw.tolist()), p)
    assert_array_equal(model.probabilities(raw.astype(np.float32)), p)


def test_asking_for_probabilities_does_not_change_the_model():
    model, raw = classifier(np.random.default_rng(0)).train(), raw_digits(7)[0]
    before = model.state_dict()
    assert_array_equal(model.probabilities(raw), model.probabilities(raw))    # no dropout
    for name, array in model.state_dict().items():
        assert_array_equal(array, before[name])
    assert model.training


@given(rng=rngs, h=st.integers(1, 4), w=st.integers(1, 4), maximum=st.sampled_from([1, 0.5, 255]))
def test_the_largest_raw_value_becomes_one_and_the_rows_follow_one_another(rng, h, w, maximum):
    model = classifier(rng, shape=(h, w), labels=range(3), maximum=maximum)
    raw = rng.uniform(0, maximum, (2, h, w))
    scaled = model.scale(raw)
    assert scaled.dtype == np.float32 and scaled.shape == (2, h * w)
    assert_allclose(scaled, [[v / maximum for row in image for v in row] for image in raw.tolist()], rtol=1e-6)
    assert (model.scale(np.full((1, h, w), maximum)) == 1).all()


@pytest.mark.parametrize("call, error", [
    (lambda m: m.probabilities(np.zeros((8, 8))), r"raw must be .* with \*shape = \(8, 8\).*, got shape \(8, 8\)"),
    (lambda m: m.probabilities(np.zeros((1, 28, 28))), r"with \*shape = \(8, 8\).*, got shape \(1, 28, 28\)"),
    (lambda m: m.probabilities(np.full((1, 8, 8), 255)), "raw must be .* maximum = 16.*, got 255"),
    (lambda m: m.probabilities(np.full((1, 8, 8), -1)), "raw must be .* >= 0.*, got -1"),
    (lambda m: m.probabilities(np.full((1, 8, 8), np.nan)), "raw must be finite"),
    (lambda m: classifier(np.random.default_rng(0), outputs=3).probabilities(np.zeros((1, 8, 8))),
     "head must have 10 outputs, as labels, got 3"),
    (lambda m: classifier(np.random.default_rng(0), maximum=0), "maximum must be float > 0"),
    (lambda m: Classifier(m.encoder, m.head, labels=[], shape=(8, 8), maximum=1), "labels must be .*, got no entries"),
    (lambda m: Classifier(m.encoder, m.head, labels=[1], shape=(8,), maximum=1),
     r"Classifier: shape must be array_like of int, shape \(2,\), >= 1, got shape \(1,\)"),
    (lambda m: Classifier(m.encoder, m.head, labels=[1], shape=(8, 0), maximum=1),
     r"Classifier: shape must be array_like of int, shape \(2,\), >= 1, got 0"),
])
def test_other_input_is_refused(call, error):
    with pytest.raises(ValueError, match=error):
        call(classifier(np.random.default_rng(0)))


def test_an_image_of_words_is_refused():
    with pytest.raises(TypeError, match="must hold numbers, got ndarray of dtype <U3"):
        classifier(np.random.default_rng(0)).probabilities(np.full((1, 8, 8), "ink"))


def test_a_model_whose_logits_are_nan_names_no_class():
    model, (raw, X, _) = classifier(np.random.default_rng(0)), raw_digits(7)
    weight = model.head.weight.data.copy()
    weight[0, 0] = -np.inf    # times 0 it is NaN
    model.head.weight.data = weight
    unused = predict(model.encoder, X)[:, 0] == 0
    model.classify(raw[~unused])
    assert unused.any() and not unused.all()
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="^Classifier: logits must be finite, got NaN"):
        model.classify(raw)


# ------------------------------------------------------------ one file, another process

def test_a_fresh_process_gives_the_same_bits_and_the_same_labels(tmp_path):
    raw, X, _ = raw_digits(50)
    model = classifier(np.random.default_rng(0), labels=[f"digit {k}" for k in range(10)])
    model(raw)    # moves the running statistics
    save_model(model, tmp_path / "model.npz")
    np.save(tmp_path / "raw.npy", raw)
    write_pgm(raw[3], tmp_path / "three.pgm", maximum=16)
    code = ("import sys, numpy as np\n"
            "from tinyml.nn import load_model\n"
            "model = load_model(sys.argv[1])\n"
            "np.save(sys.argv[3], model.probabilities(np.load(sys.argv[2])))\n"
            "print(model.classify(np.load(sys.argv[2])))\n")
    child = python("-c", code, tmp_path / "model.npz", tmp_path / "raw.npy", tmp_path / "p.npy")
    assert child.returncode == 0, child.stderr
    assert np.load(tmp_path / "p.npy").tobytes() == model.probabilities(raw).tobytes()
    assert child.stdout.strip() == str(model.classify(raw))

    served = python("-m", "tinyml.selfsupervised.deploy", tmp_path / "model.npz", tmp_path / "three.pgm")
    assert served.returncode == 0, served.stderr
    p = model.probabilities(raw[3:4])[0]
    assert served.stdout == f"{tmp_path / 'three.pgm'}  digit {p.argmax()}  {p.max():.4f}\n"


def test_the_command_line_labels_every_picture_and_says_what_is_wrong(tmp_path, capsys):
    raw, model = raw_digits(2)[0], classifier(np.random.default_rng(0))
    save_model(model, tmp_path / "m.npz")
    for i in (0, 1):
        write_pgm(raw[i], tmp_path / f"{i}.pgm", maximum=16)
    write_pgm(np.zeros((9, 8), int), tmp_path / "9.pgm", maximum=16)
    paths = [str(tmp_path / name) for name in ("m.npz", "0.pgm", "1.pgm", "9.pgm")]
    main(paths[:3])
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == paths[1:3]
    for arguments, error in ((paths[:1], "2"), ([paths[0], paths[3]], r"\*shape = \(8, 8\).*, got shape \(1, 9, 8\)"),
                             ([paths[1], paths[1]], "load: path must name"), ([paths[0], "none"], "none")):
        with pytest.raises(SystemExit, match=error):
            main(arguments)


@settings(max_examples=20)
@given(rng=rngs, maximum=maxima)
def test_a_picture_of_any_maximum_is_the_same_picture(path, rng, maximum):
    """Black and white alone: the only values that every maximum has."""
    black_white = rng.integers(0, 2, (8, 8))
    model = classifier(np.random.default_rng(0))
    write_pgm(maximum * black_white, path, maximum=maximum)
    label, p = classify_file(model, path)
    assert_array_equal(p, model.probabilities(16 * black_white[None])[0])
    assert label == p.argmax()


@settings(max_examples=20)
@given(rng=rngs, maximum=st.floats(0.01, 100), white=st.integers(1, 65535))
def test_white_of_any_picture_is_the_maximum_of_any_classifier(path, rng, maximum, white):
    write_pgm(np.full((8, 8), white), path, maximum=white)
    classify_file(classifier(rng, maximum=maximum), path)    # rounding must not pass the maximum


MINE = """
from tinyml import nn

class Mine(nn.Linear):
    pass

class Other:
    pass
"""


def test_the_command_takes_compressed_files_and_your_own_classes(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_layers.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    Mine = find_class("my_layers:Mine")
    head = Mine(64, 3, rng=np.random.default_rng(0))
    model = Classifier(nn.Flatten(), head, labels=list("abc"), shape=(8, 8), maximum=16)
    write_pgm(raw_digits(1)[0][0], tmp_path / "0.pgm", maximum=16)
    files = [str(tmp_path / name) for name in ("m.npz", "m.tmz", "0.pgm")]
    save_model(model, files[0])
    save_compressed(model, files[1])
    said = []
    for file in files[:2]:
        main(["--classes", "my_layers:Mine", file, files[2]])
        said.append(capsys.readouterr().out)
        with pytest.raises(SystemExit, match="my_layers"):
            main([file, files[2]])
    assert said[0] == said[1] and files[2] in said[0]
    served = python("-m", "tinyml.selfsupervised.deploy", files[1], files[2], "--classes", "my_layers:Mine")
    assert served.returncode == 1 and "find_class: " in served.stderr    # not on that process's path
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    served = python("-m", "tinyml.selfsupervised.deploy", files[1], files[2], "--classes", "my_layers:Mine")
    assert (served.returncode, served.stdout) == (0, said[0]), served.stderr


@pytest.mark.parametrize("name", ["nothing", "", ":", "no_such_module:Mine", "tinyml.nn:NoSuch", "tinyml.nn:save",
                                  "tinyml.data:np", "..:a", "tinyml.nn:"])
def test_a_name_without_a_class_is_refused(name):
    with pytest.raises(ValueError, match="^find_class: name must be"):
        find_class(name)


def test_a_file_of_another_model_is_refused(tmp_path):
    layer = nn.Linear(2, 2, rng=np.random.default_rng(0))
    for save in (save_model, save_compressed):
        save(layer, tmp_path / "m")
        with pytest.raises(ValueError, match="must name the file of a Classifier, got .* of a Linear; write"):
            load_classifier(tmp_path / "m")


def test_a_tensor_is_an_image_too():
    raw, model = raw_digits(2)[0], classifier(np.random.default_rng(0)).eval()
    assert_array_equal(model(Tensor(raw)).data, model(raw).data)


def test_the_help_says_the_command_itself(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m tinyml.selfsupervised.deploy ")
