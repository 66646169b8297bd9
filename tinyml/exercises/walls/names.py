"""What an answer may name: functions of NumPy and Python, and attributes of what it is given.

Everything else is refused, so that what nobody thought of is refused too.
"""
import ast
import bisect
import heapq
import itertools
import math
from collections import Counter, OrderedDict, defaultdict, deque
from functools import cache
from types import ModuleType

import numpy as np

from tinyml.exercises.student.stub import ROOT, bound, imported, source

BUILTINS = set("""
    abs all any bin bool bytearray bytes chr complex dict divmod enumerate filter float format
    frozenset hasattr hex int isinstance issubclass iter len list map max min next oct ord
    pow print range repr reversed round set slice sorted str sum super tuple type zip True
    False None NotImplemented Ellipsis ArithmeticError AssertionError AttributeError
    Exception FloatingPointError IndexError KeyError LookupError NotImplementedError
    OverflowError RuntimeError StopIteration TypeError ValueError ZeroDivisionError""".split())
NUMPY = set("""
    abs absolute acos acosh add all allclose amax amin angle any append apply_along_axis
    apply_over_axes arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin
    argpartition argsort argwhere around array array_equal array_equiv array_split asanyarray
    asarray ascontiguousarray asin asinh astype atan atan2 atanh atleast_1d atleast_2d atleast_3d
    average bartlett bincount bitwise_and bitwise_count bitwise_invert bitwise_left_shift
    bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman block bool bool_
    broadcast_arrays broadcast_shapes broadcast_to byte c_ can_cast cbrt cdouble ceil choose clip
    clongdouble column_stack complex128 complex256 complex64 complexfloating compress concat
    concatenate conj conjugate convolve copy copysign copyto corrcoef correlate cos cosh
    count_nonzero cov cross csingle cumprod cumsum cumulative_prod cumulative_sum deg2rad degrees
    delete diag diag_indices diag_indices_from diagflat diagonal diff digitize divide divmod dot
    double dsplit dstack dtype e ediff1d einsum einsum_path empty empty_like equal errstate
    euler_gamma exp exp2 expand_dims expm1 extract eye fabs fill_diagonal finfo fix flatnonzero
    flip fliplr flipud float128 float16 float32 float64 float_power floating floor floor_divide
    fmax fmin fmod frexp frombuffer fromfunction fromiter full full_like gcd geomspace gradient
    greater greater_equal half hamming hanning heaviside histogram histogram2d histogram_bin_edges
    histogramdd hsplit hstack hypot i0 identity iinfo imag index_exp indices inexact inf inner
    insert int16 int32 int64 int8 int_ intc integer interp intersect1d intp invert isclose
    iscomplex iscomplexobj isdtype isfinite isin isinf isnan isneginf isposinf isreal isrealobj
    isscalar issubdtype ix_ kron lcm ldexp left_shift less less_equal lexsort linspace log log10
    log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace long
    longdouble longlong mask_indices matmul matrix_transpose matvec max maximum mean median
    meshgrid mgrid min min_scalar_type minimum mod modf moveaxis multiply nan nan_to_num nanargmax
    nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod
    nanquantile nanstd nansum nanvar ndarray ndenumerate ndim ndindex negative newaxis nextafter
    nonzero not_equal number ogrid ones ones_like outer packbits pad partition percentile
    permute_dims pi piecewise place poly polyadd polyder polydiv polyfit polyint polymul polysub
    polyval positive pow power prod promote_types ptp put put_along_axis quantile r_ rad2deg
    radians ravel ravel_multi_index real real_if_close reciprocal remainder repeat reshape resize
    result_type right_shift rint roll rollaxis roots rot90 round s_ searchsorted select setdiff1d
    setxor1d shape short sign signbit signedinteger sin sinc single sinh size sort sort_complex
    spacing split sqrt square squeeze stack std subtract sum swapaxes take take_along_axis tan
    tanh tensordot tile trace transpose trapezoid tri tril tril_indices tril_indices_from
    trim_zeros triu triu_indices triu_indices_from true_divide trunc ubyte uint uint16 uint32
    uint64 uint8 uintc uintp ulong ulonglong union1d unique unique_all unique_counts
    unique_inverse unique_values unpackbits unravel_index unsignedinteger unstack unwrap ushort
    vander var vdot vecdot vecmat vectorize vsplit vstack where zeros zeros_like""".split())
LINALG = set("""
    LinAlgError cholesky cond cross det diagonal eig eigh eigvals eigvalsh inv lstsq matmul
    matrix_norm matrix_power matrix_rank matrix_transpose multi_dot norm outer pinv qr
    slogdet solve svd svdvals tensordot tensorinv tensorsolve trace vecdot vector_norm""".split())
FFT = set("""
    fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn
    rfft rfft2 rfftfreq rfftn""".split())


def _public(module):
    return {name for name, value in vars(module).items()
            if not name.startswith("_") and not isinstance(value, ModuleType)}


MODULES = {    # module -> the names in it that are free
    "numpy": NUMPY, "numpy.linalg": LINALG, "numpy.fft": FFT,
    "numpy.random": {"default_rng", "Generator"},
    "collections": {"ChainMap", "Counter", "OrderedDict", "defaultdict", "deque"},
    "dataclasses": {"asdict", "astuple", "replace"},
    "functools": {"cache", "cmp_to_key", "lru_cache", "partial", "reduce"},
    "numpy.typing": {"ArrayLike", "DTypeLike", "NDArray"},    # for annotations
    "typing": {"Any", "Callable", "Dict", "Iterable", "List", "Optional", "Sequence", "Tuple",
               "Union"},
    **{module.__name__: _public(module) for module in (bisect, heapq, itertools, math)}}
COPIES = {"copy", "deepcopy"}
WHOLE = set(MODULES) - {"collections", "dataclasses", "functools"}    # may be imported as modules

KINDS = (np.ndarray, np.random.Generator, np.float64, np.dtype, np.ufunc, np.finfo, np.iinfo,
         list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float, complex, range, slice,
         deque, Counter, OrderedDict, defaultdict)
# Of these kinds, and of the engine: files, memory, state.
DANGEROUS = set("""
    base bit_generator ctypes default_factory dump dumps flags format format_map getfield
    newbyteorder resize setfield setflags strides to_device tofile device file hooks serial
    settings write""".split())
FIELDS = set("""
    U S Vh Q R eigenvalues eigenvectors sign logabsdet values counts inverse_indices indices
    bits eps epsneg max min precision resolution smallest_normal smallest_subnormal
    tiny""".split())


@cache
def attributes(*modules):
    """The attributes that an answer may read which belongs to these modules of the library."""
    of_kinds = {name for kind in KINDS for name in dir(kind)} | FIELDS
    layers = [".".join(path.relative_to(ROOT).with_suffix("").parts)
              for path in (ROOT / "tinyml" / "nn").glob("*.py")]
    engine = ["tinyml.tensor", "tinyml.operators"]
    own = set().union(*map(_members, [*engine, *layers, *modules]))
    return {name for name in (of_kinds | own) - DANGEROUS if not name.startswith("_")}


@cache
def _members(module):
    """The attributes and methods of the classes of a module."""
    try:
        classes = [node for node in ast.walk(source(module).tree)
                   if isinstance(node, ast.ClassDef)]
    except OSError:    # a name of a module, not a module
        return set()
    inside = [node for each in classes for node in ast.walk(each)]
    methods = {node.name for node in inside if isinstance(node, ast.FunctionDef)}
    fields = set().union(*(bound(node) for each in classes for node in each.body
                           if isinstance(node, (ast.Assign, ast.AnnAssign))))
    stored = {node.attr for node in inside
              if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
              and isinstance(node.value, ast.Name) and node.value.id == "self"}
    return methods | fields | stored


@cache
def of_module(module):
    """The names of a module of the library that are its own, or another's that it passes on."""
    reference = source(module)
    passed_on = {name for name, node in reference.imports.items()
                 if not imported(node)[name].startswith("tinyml.")}
    return {name for name in reference.names - passed_on if not name.startswith("_")}
