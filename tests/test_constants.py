"""Constants that a reader meets: defaults, and how far a number may be off before it is refused.

Other tests pass every argument and stay far from the edges, so they would not see that one of these changed.
"""
import ast
import inspect
import math
import pkgutil
from importlib import import_module

import numpy as np
import pytest

import tinyml
from tinyml import checkpoint, nn
from tinyml import functional as F
from tinyml.compression.coding import codings, sparse_codes, storage
from tinyml.compression.low_rank import rank_for_energy, truncated_svd
from tinyml.interpolation.implicit_bias import sign_fit
from tinyml.nn import npz, saving
from tinyml.selfsupervised.augmentations import affine
from tinyml.selfsupervised.markov import sample_sequences
from tinyml.selfsupervised.masked_edges import EdgePredictor
from tinyml.selfsupervised.masked_patches import MaskedAutoencoder
from tinyml.selfsupervised.masked_tokens import TokenTransformer
from tinyml.selfsupervised.simclr import cnn_encoder, mlp_encoder, projection_head
from tinyml.selfsupervised.ts_tcc import TSTCC, Context, SeriesEncoder

# ------------------------------------------------------------ defaults

DEFAULTS = {    # those of functional and nn are in the tables of their own tests
    "channel_codes": dict(corrected=False, allocated=False),
    "quantize_repaired": dict(corrected=False, allocated=False),
    "Decoder": dict(at_most=math.inf),
    "decode_matrix": dict(at_most=math.inf),
    "best_lag": dict(widest=1024),
    "deflate": dict(dictionary=b""),
    "inflate": dict(dictionary=b""),
    "decode_array": dict(at_most=math.inf),
    "deep_compress": dict(bias_bits=4, epochs=(40, 8), lr=(0.002, 3e-4), weight_decay=3e-4),
    "prune_gradually": dict(lr=0.002, weight_decay=3e-4, batch_size=128),
    "share_and_tune": dict(lr=3e-4),
    "tune": dict(temperature=2.0, alpha=0.9, batch_size=128, weight_decay=0.0),
    "IntegerLayer.forward": dict(fast=True),
    "IntegerLayer.accumulate": dict(fast=True),
    "IntegerMaxPool.forward": dict(fast=True),
    "IntegerFlatten.forward": dict(fast=True),
    "IntegerModel.codes": dict(fast=True),
    "factorize_conv": dict(method="separable"),
    "MovingAverageObserver": dict(rate=0.1),
    "PercentileObserver": dict(percent=99.9),
    "MSEObserver": dict(symmetric=False),
    "cubic_sparsity": dict(t_start=0.0, initial=0.0),
    "prune": dict(method="global"),
    "quantize_weights": dict(symmetric=True, per_channel=True),
    "fake_quantize": dict(gradient="inside"),
    "FakeQuantizedWeight": dict(symmetric=True, share=1.0, gradient="identity"),
    "prepare": dict(method="straight-through"),
    "BinaryWeight": dict(scaled=True),
    "TernaryWeight": dict(best=False),
    "CirculantLinear": dict(bias=True),
    "milliseconds": dict(rounds=15),
    "block_work": dict(stride=1),
    "kmeans_of": dict(n_starts=10),
    "kmeans_of_rows": dict(n_starts=10),
    "separable_macs": dict(multiplier=1),
    "separate": dict(multiplier=1),
    "separable_energy": dict(multiplier=1),
    "separable_block": dict(kernel_size=3, stride=1),
    "bottleneck_block": dict(kernel_size=3),
    "separate_conv": dict(multiplier=1),
    "make_separable": dict(multiplier=1),
    "sensitivities": dict(n_mistakes=1),
    "shared_colors": dict(n_starts=10),
    "monochromatic_conv": dict(n_starts=10),
    "best_outer_product": dict(n_sweeps=50),
    "outer_products": dict(n_sweeps=50),
    "outer_work": dict(stride=1),
    "norm_scores": dict(order=2),
    "initial_centroids": dict(init="linear"),
    "kmeans": dict(init="linear", max_iter=300),
    "fast_kmeans": dict(init="linear", max_iter=300),
    "share_weights": dict(init="linear"),
    "share_biases": dict(init="linear"),
    "mnist": dict(split="train", download=False),
    "fashion_mnist": dict(split="train", download=False),
    "make_spirals": dict(turns=1.0),
    "batches": dict(drop_last=False),
    "gradcheck": dict(tol=1e-6),
    "k_star": dict(b=1),
    "variance_order": dict(b=1),
    "bias2_order": dict(b=1),
    "turning_points": dict(tolerance=0.0),
    "RandomForest": dict(splitter="best", bootstrap=False),
    "minimize": dict(tolerance=1e-6, max_iter=10_000),
    "Operators.sum": dict(keepdims=False),
    "Operators.mean": dict(keepdims=False),
    "Operators.max": dict(keepdims=False),
    "Operators.min": dict(keepdims=False),
    "Operators.var": dict(keepdims=False, correction=0),
    "gelu": dict(approximate="none"),
    "conv2d": dict(stride=1, padding=0, dilation=1, groups=1),
    "max_pool2d": dict(padding=0),
    "avg_pool2d": dict(padding=0),
    "sum": dict(keepdims=False),
    "mean": dict(keepdims=False),
    "var": dict(keepdims=False, correction=0),
    "max": dict(keepdims=False),
    "min": dict(keepdims=False),
    "logsumexp": dict(keepdims=False),
    "softmax": dict(axis=-1),
    "log_softmax": dict(axis=-1),
    "label_cross_entropy": dict(reduction="none"),
    "concatenate": dict(axis=0),
    "stack": dict(axis=0),
    "pad": dict(value=0.0),
    "SGD": dict(lr=0.001, momentum=0.0, weight_decay=0.0, nesterov=False),
    "Adam": dict(lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0),
    "AdamW": dict(lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    "step_decay": dict(gamma=0.1),
    "cosine_decay": dict(final=0.0),
    "affine": dict(shift=(0, 0)),
    "random_affine": dict(rotate=0.0, scale=0.0, shear=0.0, shift=0.0),
    "target_momentum": dict(base=0.996),
    "BYOL": dict(base=0.996),
    "UnitLength": dict(center=0.0),
    "extract_features": dict(unit_length=False, batch_size=1024),
    "linear_probe": dict(l2=1e-4, tolerance=1e-6, max_iter=10_000),
    "knn": dict(k=1, metric="cosine"),
    "posterior": dict(mask_ratio=0.15),
    "EdgePredictor": dict(messages=True),
    "normalize_patches": dict(eps=1e-6),
    "reconstruct": dict(mask_ratio=0.75),
    "masked_patch_loss": dict(mask_ratio=0.75, normalize=False),
    "masked_token_loss": dict(mask_ratio=0.15),
    "mask_tokens": dict(mask_ratio=0.15),
    "make_activities": dict(length=128, sigma=0.5),
    "SeriesEncoder": dict(dim=64),
    "Context": dict(nhead=4),
    "pretrain": dict(lambda1=1.0, lambda2=0.7, temperature=0.2),
    "sweep": dict(label="sweep"),
    "Tensor": dict(requires_grad=False),
    "fit": dict(drop_last=False, label="fit"),
    "predict": dict(batch_size=1024),
}
EMPTY = (None, ())    # nothing is given


def callables():
    """(name, callable) of every public function and method, outside of functional and nn."""
    for info in pkgutil.walk_packages(tinyml.__path__, "tinyml."):
        family = info.name.split(".")[1]
        if family in ("exercises", "functional", "nn", "check", "grammar"):
            continue
        for name, value in vars(import_module(info.name)).items():
            if name.startswith("_") or getattr(value, "__module__", None) != info.name:
                continue
            if inspect.isfunction(value):
                yield name, value
            elif inspect.isclass(value):
                methods = {key: f for key, f in vars(value).items() if inspect.isfunction(f)}
                yield from ((f"{name}.{key}".removesuffix(".__init__"), f) for key, f in methods.items()
                            if key == "__init__" or not key.startswith("_"))


def test_defaults_are_those_of_the_table():
    found = {}
    for name, function in callables():
        given = {option: p.default for option, p in inspect.signature(function).parameters.items()
                 if option != "name" and p.default is not p.empty and p.default not in EMPTY
                 and not callable(p.default)}
        if given:
            found[name] = given
    core = {name for names in tinyml.CORE.values() for name in names}
    assert found.keys() & core <= DEFAULTS.keys()
    assert {name: found.get(name) for name in DEFAULTS} == DEFAULTS


def test_what_stands_in_files_keeps_its_name():
    """Else no file of an earlier version could be read."""
    assert (npz.MANIFEST, saving.SKELETON, checkpoint.SEED) == ("__manifest__", "__skeleton__", "seed")
    assert (storage.MAGIC, storage.VERSION) == (b"tmz", 1)
    assert codings.NAMES == ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")
    assert codings.ARRAYS == ("numbers", "codebook", "mask")
    assert codings.NUMBERS == ("raw", "half", "deflate", "consecutive")
    assert sparse_codes.CODINGS == ("Huffman", "gaps along rows", "gaps along columns", "arithmetic")


NUMBERS = {    # of every module: those that decide what bytes mean, limits, and the constants of methods
    "_BLOCK": 200_000,
    "BLOCKS": 20,
    "CALIBRATION_BATCH": 64,
    "DAY": 86_400,
    "ENTRIES_PER_BYTE": 256,
    "_FAR": 40,
    "FEW": 1024,
    "FREE_ENTRIES": 2 ** 22,
    "LARGE": 1000,
    "LARGEST": 2 ** 23,
    "LARGEST_GROVE": 2 ** 22,
    "LARGEST_SUM": 2 ** 15,
    "LEAST": 1e-3,
    "LONGEST_HEADER": 10_000,
    "MAX_BITS": 16,
    "MAX_CODEBOOK": 4096,
    "MAX_DECISIONS": 2 ** 19,
    "MAX_ENTRIES_PER_BYTE": 4096,
    "MAX_LENGTH": 56,
    "MAX_RATIO": 100,
    "MEMORY": 12,
    "N_CLASSES": 10,
    "N_START": 4,
    "PLENTY": 2 ** 24,
    "PRUNINGS": 100,
    "PRUNING_ENDS": 0.6,
    "P_MAX": 1 - 2 ** -16,
    "P_MIN": 2 ** -16,
    "RATIO": 100,
    "SIDE": 28,
    "SINGLY": 64,
    "SMALLEST": 1e-9,
    "SMALLEST_MULTIPLIER": 2 ** -22,
    "TIE": 1e-9,
    "TIMES_JITTER": 6,
    "UNUSED": -1,
    "WHOLE": 2 ** 32 - 1,
    "WORD": 64,
}


def test_the_numbers_of_a_module_are_those_of_the_table():
    """Each value is a decision. Who changes one changes it here too, and looks at what depends on it."""
    found, of_dtypes = set(), {"EPS", "LARGEST"}    # the others that NumPy is asked for
    for info in pkgutil.walk_packages(tinyml.__path__, "tinyml."):
        if info.name.startswith("tinyml.exercises") or info.ispkg:
            continue
        module = import_module(info.name)
        for node in ast.parse(inspect.getsource(module)).body:
            for name in [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name) and t.id.isupper()]:
                value = getattr(module, name)
                if type(value) in (int, float) and not (name in of_dtypes and isinstance(node.value, ast.Call | ast.Attribute)):
                    found.add((name, value))
    assert dict(found) == NUMBERS and len(found) == len(NUMBERS)


# ------------------------------------------------------------ tolerances

def distribution(dtype, off):
    """A row of probabilities whose sum is 1 + off."""
    return np.array([[0.25, 0.75 + off]], dtype)


def second_moment(asymmetry=0.0, smallest=4.0):
    """Eigenvalues 50, 50 and `smallest`; 5e-3 is 1e-4 of the largest."""
    matrix = np.diag([50.0, 50.0, smallest])
    matrix[0, 2] += asymmetry
    return matrix


def fit_of_signs(off):
    """X sign(X'y) is y = (300, 400) but for `off`, of which the part (-0.48, 0.36) is not along y."""
    y = np.array([300.0, 400.0])
    return sign_fit(np.diag([300.0, 400.0 + off]), y)


TOLERANCES = {    # what may be off -> (call with so much, the largest that passes)
    "probabilities, float64": (lambda off: F.cross_entropy(np.zeros((1, 2)), distribution(np.float64, off)),
                               2.0 ** -11.5),
    "probabilities, float16": (lambda off: F.kl_div(np.zeros((1, 2)) - 1, distribution(np.float16, off)), 2.0 ** -5),
    "log-probabilities": (lambda off: F.kl_div(np.array([[off, -1.0]]), distribution(np.float64, 0)), 1e-3),
    "rows of a transition": (lambda off: sample_sequences(distribution(np.float64, off)[[0, 0]], 1, 2,
                                                          rng=np.random.default_rng(0)), 1e-6),
    "symmetry of a second moment": (lambda off: truncated_svd(np.eye(3), 1, second_moment=second_moment(asymmetry=off)), 5e-3),
    "eigenvalue of a second moment": (lambda off: truncated_svd(np.eye(3), 1, second_moment=second_moment(smallest=-off)), 5e-3),
    "fit of signs": (fit_of_signs, 5e-7 / 0.6),
    "determinant": (lambda off: affine(np.ones((1, 3, 3)), np.diag([1.0, 2e-6 - off])), 1e-6),
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_number_may_be_off_by_its_tolerance_and_no_more(name):
    call, tolerance = TOLERANCES[name]
    call(0)
    call(0.97 * tolerance)
    with pytest.raises(ValueError):
        call(1.03 * tolerance)


def test_energy_is_enough_up_to_its_rounding():
    assert rank_for_energy([1.0, 1.0], energy=(1 + 0.9e-12) / 2) == 1
    assert rank_for_energy([1.0, 1.0], energy=(1 + 1.1e-12) / 2) == 2


# ------------------------------------------------------------ models

def line(n_in, n_out):
    """How many parameters a linear layer has, or a convolution of so many weights for each output."""
    return n_in * n_out + n_out


def block(d, n_hidden):
    """And a transformer block: four projections, two layers, two norms."""
    return 4 * line(d, d) + line(d, n_hidden) + line(n_hidden, d) + 4 * d


def make(kind, *args, **options):
    def made():
        return kind(*args, **options, rng=np.random.default_rng(0))
    made.__name__ = kind.__name__
    return made


MODELS = {    # what makes it -> how many parameters it has
    make(TokenTransformer, 7, 5, d_model=4, nhead=2, num_layers=2):
        (7 + 1) * 4 + 5 * 4 + 2 * block(4, 16) + 2 * 4 + line(4, 7),
    make(MaskedAutoencoder, 4, 9, d_model=4, num_layers=1, decoder_dim=6, decoder_layers=2, nhead=2):
        line(9, 4) + 4 * 4 + block(4, 16) + 2 * 4 + line(4, 6) + 6 + 4 * 6 + 2 * block(6, 24) + 2 * 6 + line(6, 9),
    make(EdgePredictor, 5, 3): 5 * 3 + 5 + 1,
    make(SeriesEncoder, 3): line(3 * 9, 32) + line(32 * 5, 48) + line(48 * 5, 64) + 2 * (32 + 48 + 64),
    make(Context, 8): block(8, 16) + 8,
    make(TSTCC, nn.ReLU(), 8, steps=3): block(8, 16) + 8 + 8 * 3 * 8 + line(8, 8) + line(8, 4),
    make(mlp_encoder, 4, 6, 3): line(4, 6) + line(6, 3),
    make(projection_head, 4, 6, 3): line(4, 6) + line(6, 3),
    make(cnn_encoder, 8, [4, 6], 5): line(9, 4) + line(4 * 9, 6) + line(6 * 4 * 4, 5),
}


@pytest.mark.parametrize("model", MODELS, ids=[model.__name__ for model in MODELS])
def test_a_model_has_the_parameters_that_it_says_and_its_blocks_no_dropout(model):
    made = model()
    assert sum(p.size for p in made.parameters()) == MODELS[model]
    blocks = [module for _, module in made.named_modules() if isinstance(module, nn.TransformerEncoderLayer)]
    assert all(one.norm_first and one.dropout.p == one.self_attn.dropout == 0 for one in blocks)


def test_what_starts_small_starts_so_small():
    """The deviation of n normal draws is right to a share of 0.7 / sqrt(n)."""
    rng = np.random.default_rng(0)
    vectors = EdgePredictor(100, 100, rng=rng).embedding.data
    tokens = np.array([Context(64, rng=rng).token.data for _ in range(30)])
    for values, deviation in ((vectors, 0.3), (tokens, 0.02)):
        assert abs(values.std() / deviation - 1) < 3 * 0.7 * values.size ** -0.5
