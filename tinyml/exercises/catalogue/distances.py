"""Functions: lengths and angles of vectors. All must survive large numbers and zeros."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("distances", "Functions: lengths and angles", (
    Exercise(
        name="normalize",
        target="tinyml.functional.distances:normalize",
        level=2, minutes=15,
        after=("mul",),
        hide=("_scaled", "_length", "_powers"),
        task="Divide vectors by their lengths, so that a zero vector stays zero with a finite "
             "gradient",
        tests=laws_of(
            "functional",
            "test_normalize_gives_length_one_in_the_same_direction",
            "test_normalize_divides_along_its_axis",
            "test_a_length_below_eps_is_eps",
            "test_a_zero_vector_stays_zero_with_a_finite_gradient",
            "test_a_direction_survives_any_length",
            "test_gradient_is_the_slope[normalize]"),
        hints=("The root has an infinite slope at 0, and infinity times 0 is NaN: keep 0 away "
               "from the root. And a square overflows long before a length does.",
               "||x||_p = (sum |x|^p)^(1/p), axis kept. Divide by the largest |x| first, or by "
               "eps if that is larger: with u = x / scale, x / max(||x||, eps) = u / max(||u||, "
               "1). Clip the sum, then take the root.",
               "scale = np.abs(x.data).max(axis=axis, keepdims=True, initial=eps); u = x / "
               "scale; total = ops.sum(ops.abs(u) ** p, axis=axis, keepdims=True); return u / "
               "ops.clip(total, low=1.0) ** (1 / p)"),
        mistakes=(
            Mistake("_length(x, axis, p, keepdims=True)",
                    "ops.clip(ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True) ** (1 / p), "
                    "low=1.0)",
                    "At 0 the root's slope is infinite, and clipping afterwards leaves "
                    "infinity times 0, a NaN: clip the sum first, then take the root."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "ops.clip(ops.sum(x ** p, axis=axis, keepdims=True), low=1.0) ** (1 / p)",
                    "|x|^p needs the absolute value: for odd p negative entries would be "
                    "subtracted."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "_length(x, axis, p, keepdims=True) ** p",
                    "The length is the p-th root of the sum."),
            Mistake("_length(x, axis, p, keepdims=True)", "_length(x, axis, keepdims=True)",
                    "The order p of the norm is an argument: yours is always 2."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "(ops.sum(x * x if p == 2 else _powers(x, p), axis=axis, keepdims=True) + "
                    "1e-30) ** (1 / p)",
                    "A length below eps counts as eps: add nothing to the sum, but clip it, at 1 "
                    "after the division by the scale."),
            Mistake("    x = _scaled(x, axis, eps)\n",
                    "",
                    "The squares of large numbers overflow, and those of small ones are 0: "
                    "divide by the largest |x| first."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "(_length(x, axis, p, keepdims=True) + eps)",
                    "The divisor is max(||x||, eps): eps is not added to the length."),
            Mistake("_length(x, axis, p, keepdims=True)", "_length(x, None, p, keepdims=True)",
                    "Each vector along the axis has a length of its own: pass the axis to "
                    "the sum."),
            Mistake("    return x / _length(x, axis, p, keepdims=True)", "    return x",
                    "You divide by the largest entry only; divide by the norm too."),
            Mistake("_length(x, axis, p, keepdims=True)", "_length(x, axis, 1.0, keepdims=True)",
                    "The order of the norm is p, and yours is 1."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "_length(x, axis, p, keepdims=True) ** 2",
                    "Divide by the norm, not by its square."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True) ** (1 / p)\n"
                    "    return x / ops.clip(length, low=eps)",
                    "Large entries overflow in |x|^p, and a root has no finite slope at 0: "
                    "divide by the largest entry first, and clip before the root."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "_length(x, axis, p, keepdims=True).detach()",
                    "The length depends on x, and the gradient flows through it too: compute "
                    "it with ops, not with NumPy on x.data."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(ops.abs(x) ** p, axis=-1, keepdims=True) ** (1 / p)\n"
                    "    return x / ops.clip(length, low=eps)",
                    "The vectors lie along `axis`, which need not be the last one."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True) ** (1 / p)\n"
                    "    return x / (length + eps)",
                    "The divisor is max(||x||, eps): eps is not added to the length."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True)\n"
                    "    return x / ops.clip(length, low=eps)",
                    "The length is the p-th root of the sum."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(x * x, axis=axis, keepdims=True) ** 0.5\n"
                    "    return x / ops.clip(length, low=eps)",
                    "The order p of the norm is an argument: yours is always 2."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True)\n"
                    "    return x / ops.clip(length, low=eps ** p) ** (1 / p)",
                    "Powers of large entries overflow, and those of small ones are 0: divide "
                    "by the largest |x| first."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "return x / ops.clip(ops.max(ops.abs(x), axis=axis, keepdims=True), "
                    "low=eps)",
                    "You divide by the largest entry only; divide by the norm too."))),
    Exercise(
        name="cosine_similarity",
        target="tinyml.functional.distances:cosine_similarity",
        level=1, minutes=10,
        after=("normalize",),
        hide=("_length", "_broadcast"),
        task="Compute the cosine of the angle between vectors along an axis",
        tests=laws_of(
            "functional",
            "test_cosine_is_bounded_symmetric_and_blind_to_length",
            "test_cosine_is_along_its_axis",
            "test_cosine_of_shapes_that_broadcast",
            "test_a_length_below_eps_is_eps",
            "test_a_zero_vector_stays_zero_with_a_finite_gradient",
            "test_a_direction_survives_any_length[2-float32]",
            "test_a_direction_survives_any_length[2-float64]",
            "test_gradient_is_the_slope[cosine_similarity]"),
        hints=("It is the scalar product, divided by both lengths.",
               "Bring both to one shape first, with ops.broadcast_to: a number that is repeated "
               "along the axis counts each time in the length. A length is the root of a sum of "
               "squares along the axis; clip the sum at eps^2 before you take the root.",
               "u, v = (ops.broadcast_to(x, shape=np.broadcast_shapes(x1.shape, x2.shape)) for "
               "x in (x1, x2)); the length of u is ops.clip(ops.sum(u * u, axis=axis), low=eps "
               "** 2) ** 0.5; return ops.sum(u * v, axis=axis) / ..."),
        mistakes=(
            Mistake("_scaled(x2, axis, eps)", "_scaled(x1, axis, eps)",
                    "It is the angle between x1 and x2: you do not use x2."),
            Mistake("ops.sum(u * v, axis=axis)", "ops.mean(u * v, axis=axis)",
                    "A scalar product sums; you take the mean."),
            Mistake("u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "ops.sum(x1 * x2, axis=axis)",
                    "This is the plain scalar product, which grows with the lengths: divide "
                    "by both."),
            Mistake("ops.sum(u * v, axis=axis)", "ops.sum(u * v, axis=axis, keepdims=True)",
                    "The result does not have this axis: leave out keepdims."),
            Mistake("_length(u, axis) * _length(v, axis)",
                    "_length(u, axis, 1) * _length(v, axis, 1)",
                    "The length is the Euclidean one, p = 2."),
            Mistake("_scaled(x1, axis, eps), _scaled(x2, axis, eps)",
                    "_scaled(x1, axis, 1e-12), _scaled(x2, axis, 1e-12)",
                    "eps is an argument: a length below it counts as eps."),
            Mistake("u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "u_dot_v / (_length(u, 1) * _length(v, 1))",
                    "The vectors lie along `axis`: their lengths are along it too."),
            Mistake('    x1, x2 = _broadcast("cosine_similarity", x1, x2)\n',
                    '    _broadcast("cosine_similarity", x1, x2)\n',
                    "A number that is repeated along the axis counts each time in the "
                    "length: broadcast both to one shape first."),
            Mistake("ops.sum(u * v, axis=axis)", "ops.sum(u * v, axis=-1)",
                    "The sum is over `axis`, which need not be the last one."),
            Mistake("u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "u_dot_v / _length(u, axis)",
                    "Only the directions of both vectors count: divide by both lengths."),
            Mistake("return u_dot_v /", "return 1 - u_dot_v /",
                    "1 - cos is the cosine distance; the similarity is cos itself."),
            Mistake("(_length(u, axis) * _length(v, axis))",
                    "(_length(u, axis) * _length(v, axis)) ** 2",
                    "Divide by the lengths, not by their squares."),
            Mistake("(_length(u, axis) * _length(v, axis))",
                    "(_length(u, axis) + _length(v, axis))",
                    "Divide by the product of the lengths, not by their sum."),
            Mistake("    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)\n"
                    "    u_dot_v = ops.sum(u * v, axis=axis)\n"
                    "    return u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "    lengths = (ops.sum(x1 * x1, axis=axis) * ops.sum(x2 * x2, "
                    "axis=axis)) ** 0.5\n"
                    "    return ops.sum(x1 * x2, axis=axis) / ops.clip(lengths, low=eps)",
                    "Each length below eps counts as eps, not the product of the two."),
            Mistake("    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)\n"
                    "    u_dot_v = ops.sum(u * v, axis=axis)\n"
                    "    return u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "    lengths = (ops.sum(x1 * x1, axis=axis) * ops.sum(x2 * x2, "
                    "axis=axis)) ** 0.5\n"
                    "    return ops.sum(x1 * x2, axis=axis) / (lengths + eps)",
                    "A length below eps counts as eps: nothing is added to the lengths."),
            Mistake("    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)\n"
                    "    u_dot_v = ops.sum(u * v, axis=axis)\n"
                    "    return u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "    u, v = (ops.clip(ops.sum(x * x, axis=axis) ** 0.5, low=eps) for x "
                    "in (x1, x2))\n"
                    "    return ops.sum(x1 * x2, axis=axis) / (u * v)",
                    "Squares of large entries overflow, and a root has no finite slope at 0: "
                    "divide by the largest entry first, and clip before the root."),
            Mistake("    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)\n"
                    "    u_dot_v = ops.sum(u * v, axis=axis)\n"
                    "    return u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "    u, v = (ops.clip(ops.sum(x * x, axis=axis), low=eps ** 2) ** 0.5 "
                    "for x in (x1, x2))\n"
                    "    return ops.sum(x1 * x2, axis=axis) / (u * v)",
                    "Squares of large entries overflow, and those of small ones are 0: "
                    "divide by the largest |x| first."),
            Mistake("    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)\n"
                    "    u_dot_v = ops.sum(u * v, axis=axis)\n"
                    "    return u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "    u, v = (ops.clip(ops.sum(x * x, axis=-1), low=eps ** 2) ** 0.5 for "
                    "x in (x1, x2))\n"
                    "    return ops.sum(x1 * x2, axis=-1) / (u * v)",
                    "The vectors lie along `axis`, which need not be the last one."),
            Mistake("    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)\n"
                    "    u_dot_v = ops.sum(u * v, axis=axis)\n"
                    "    return u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "    u, v = (ops.clip(ops.sum(x * x, axis=axis), low=eps) for x in (x1, "
                    "x2))\n"
                    "    return ops.sum(x1 * x2, axis=axis) / (u * v)",
                    "Divide by the lengths, not by their squares."))),
))
