"""Which of NumPy's functions CuPy has, by how it treats them. Every name here exists in CuPy 14."""

from __future__ import annotations

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "matmul": np.matmul,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift, "divmod": np.divmod,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
IN_PLACE = OPERATORS.keys() - COMPARISONS - {"matmul", "divmod"}
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
METHODS = _words("""
    all any argmax argmin argpartition argsort choose clip compress conj conjugate cumprod cumsum
    diagonal dot max mean min nonzero partition prod ptp put ravel repeat round searchsorted
    squeeze std sum swapaxes take trace var
""")

FUNCTIONS = _words("""
    abs absolute acos acosh add all amax amin angle any append arccos arccosh arcsin
    arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort argwhere around asin asinh
    atan atan2 atanh atleast_1d atleast_2d average bincount bitwise_and bitwise_count
    bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
    broadcast_arrays broadcast_to cbrt ceil clip column_stack compress concat concatenate conj
    conjugate copysign cos cosh count_nonzero cross cumprod cumsum deg2rad degrees diag diagonal
    diff digitize divide divmod dot einsum equal exp exp2 expand_dims expm1 extract fabs flatnonzero
    flip fliplr flipud floor floor_divide fmax fmin fmod frexp gcd greater greater_equal heaviside
    histogram hstack hypot imag inner invert isclose isfinite isin isinf isnan isneginf isposinf
    kron lcm ldexp left_shift less less_equal lexsort log log10 log1p log2 logaddexp logaddexp2
    logical_and logical_not logical_or logical_xor matmul matrix_transpose max maximum mean
    median meshgrid min minimum mod modf moveaxis nan_to_num nanargmax nanargmin nanmax nanmean
    nanmin nanprod nanstd nansum nanvar negative nextafter nonzero not_equal outer pad partition
    percentile permute_dims positive pow power prod ptp quantile rad2deg radians ravel real
    reciprocal remainder repeat reshape right_shift rint roll rollaxis rot90 round searchsorted
    sign signbit sin sinc sinh sort split sqrt square squeeze stack std subtract sum swapaxes take
    take_along_axis tan tanh tensordot tile trace transpose trapezoid tri tril triu true_divide
    trunc unique unique_all unique_counts unique_inverse unique_values unwrap vander var vdot
    vsplit vstack where allclose array_equal
""")
LINALG = _words("""
    cholesky cond det eigh eigvalsh inv lstsq matrix_power matrix_rank norm pinv qr slogdet solve
    svd tensorinv tensorsolve
""")
FFT = _words("""
    fft fft2 fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2
    rfftn
""")
SPECIAL = _words("""
    entr erf erfc erfcinv erfcx erfinv expit gammaln log_ndtr log_softmax logit logsumexp ndtr
    ndtri psi rel_entr softmax xlog1py xlogy
""")
MADE = _words("arange eye identity linspace logspace tri")
METADATA = _words("""
    broadcast_shapes can_cast finfo iinfo isdtype isscalar issubdtype may_share_memory ndim
    promote_types result_type shape shares_memory size
""")
PLAIN = _words("""
    bool bool_ complex128 complex64 complexfloating dtype e euler_gamma exceptions float16 float32
    float64 floating generic inexact inf int16 int32 int64 int8 integer intp nan ndindex newaxis
    number pi signedinteger uint16 uint32 uint64 uint8 unsignedinteger uint int_ double single
""")

# Functions whose result's shape depends on values.
SYNCHRONISING = set(_words("""
    argwhere bincount compress extract flatnonzero histogram nonzero repeat unique unique_all
    unique_counts unique_inverse unique_values
"""))  # fmt: skip
# Functions that call cuBLAS.
PRODUCTS = {"matmul", "dot", "tensordot", "einsum", "inner", "vdot"}
