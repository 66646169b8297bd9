"""The engine: derivatives, broadcasting, the walk back."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

# The loop of `walk`, and what students write in its place
LOOP = """\
    while queue:
        _, tensor = heappop(queue)
        g = grads.pop(tensor)
        yield tensor, g
        for parent, vjp in tensor.edges:
            part = _conform(vjp(g), parent, tensor)
            if watcher is not None:
                watcher.passed_back(tensor, parent, part)
            if parent in grads:
                grads[parent] = np.asarray(grads[parent] + part)    # 0-d: NumPy returns a scalar
            else:
                grads[parent] = part
                if parent.edges:    # a leaf has nothing to pass on
                    heappush(queue, (-parent.serial, parent))
    yield from grads.items()"""
IN_TURN = """\
    queue = [root]
    for tensor in queue:
        g = grads[tensor]
        yield tensor, g
        for parent, vjp in tensor.edges:
            part = _conform(vjp(g), parent, tensor)
            if watcher is not None:
                watcher.passed_back(tensor, parent, part)
            if parent not in grads:
                queue.append(parent)
            grads[parent] = np.asarray(grads[parent] + part) if parent in grads else part
"""
NEWEST_FIRST = """\
    queue = [root]
    while queue:
        tensor = queue.pop()
        g = grads.pop(tensor)
        yield tensor, g
        for parent, vjp in tensor.edges:
            part = _conform(vjp(g), parent, tensor)
            if watcher is not None:
                watcher.passed_back(tensor, parent, part)
            if parent in grads:
                grads[parent] = np.asarray(grads[parent] + part)
            else:
                grads[parent] = part
                queue.append(parent)
"""
OUT_OF_ORDER = ("In this order a tensor may come before all its users have passed back: take the "
                "waiting tensor with the largest serial.")

CHAPTER = Chapter("engine", "The engine: how a gradient is computed", (
    Exercise(
        name="tanh",
        target="tinyml.ops.elementwise:tanh",
        level=1, minutes=5,
        task="Give tanh(x) and its vjp: from the gradient g of the result to that of x",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[tanh]",
            "test_gradient_is_the_slope_in_a_random_direction[tanh]",
            "test_float32_stays_float32_whatever_the_constants[tanh]",
            "test_nothing_is_written_to[tanh]",
            "test_vjp_is_linear_in_g[tanh]",
            "test_nothing_overflows"),
        hints=("The function returns two things: the value y, and a tuple with one function of "
               "g.",
               "tanh'(x) = 1 - tanh(x)^2, so the gradient of x is g (1 - y^2), entry by entry.",
               "y = np.tanh(x), then return y, (lambda g: g * ...,) - mind the comma: a tuple "
               "of one."),
        mistakes=(
            Mistake("g * (4 * t / (1 + t) ** 2)", "1 - np.tanh(x) ** 2",
                    "The vjp is the slope times g, and your g is missing."),
            Mistake("(4 * t / (1 + t) ** 2)", "(1 - x * x)",
                    "The slope is 1 - y^2 with y = tanh(x) the value, not 1 - x^2 with the "
                    "input."),
            Mistake("(4 * t / (1 + t) ** 2)", "(1 - np.tanh(x))",
                    "The slope is 1 - y^2: square y."),
            Mistake("(4 * t / (1 + t) ** 2)", "(1 + np.tanh(x) ** 2)",
                    "The sign: tanh flattens out, its slope is 1 - y^2."),
            Mistake("return np.tanh(x)",
                    "return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))",
                    "e^x overflows for large x, and infinity / infinity is NaN: np.tanh avoids "
                    "that."),
            Mistake("(d_x,)", "d_x",
                    "The vjps are a tuple, even if there is only one: mind the comma in (lambda "
                    "g: ...,)."),
            Mistake("(4 * t / (1 + t) ** 2)", "(1 / np.cosh(x) ** 2)",
                    "cosh x overflows for large x: 1 - y^2 with y = tanh x does not."),
            Mistake("(4 * t / (1 + t) ** 2)", "(1 / (1 + x ** 2))",
                    "1 / (1 + x^2) is the slope of the arctangent; that of tanh is 1 - y^2."),
            Mistake("(4 * t / (1 + t) ** 2)", "(np.tanh(x) * (1 - np.tanh(x)))",
                    "y (1 - y) is the slope of the sigmoid; that of tanh is 1 - y^2."),
            Mistake("return np.tanh(x)", "return np.tanh(x.astype(np.float64))",
                    "float32 must stay float32: convert nothing, np.tanh keeps the dtype."),
            Mistake("(4 * t / (1 + t) ** 2)", "(1 - np.tanh(np.tanh(x)) ** 2)",
                    "Apply tanh once: the slope is 1 - y^2, and y is tanh x already."),
            Mistake("g * (4 * t / (1 + t) ** 2)", "(1 - np.tanh(g) ** 2)",
                    "The slope is taken at x, where the value was, and multiplied by g."),
            Mistake("return np.tanh(x)",
                    "return (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)",
                    "e^(2x) overflows for large x, and infinity / infinity is NaN: np.tanh avoids "
                    "that."))),
    Exercise(
        name="mul",
        target="tinyml.ops.elementwise:mul",
        level=1, minutes=5,
        after=("tanh",),
        task="Give the product x y and its two vjps, one for each factor",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[mul]",
            "test_gradient_is_the_slope_in_a_random_direction[mul]",
            "test_float32_stays_float32_whatever_the_constants[mul]",
            "test_nothing_is_written_to[mul]",
            "test_vjp_is_linear_in_g[mul]",
            "test_euler_s_identity[mul]",
            "test_the_slope_of_a_product_is_the_other_factor_at_zero_too"),
        hints=("Hold y fixed: how does x y change with x? Then the other way round.",
               "The gradient of x is g y and that of y is g x. Broadcasting is undone by the "
               "engine.",
               "return x * y, (lambda g: ..., lambda g: ...) with g times the other factor in "
               "each."),
        mistakes=(
            Mistake("lambda g: g * y, lambda g: g * x", "lambda g: g * x, lambda g: g * y",
                    "The two vjps are swapped: the gradient of x is g times y, the other "
                    "factor."),
            Mistake("lambda g: g * y, lambda g: g * x", "lambda g: g * y, lambda g: g * y",
                    "The second vjp is that of y: g times x."),
            Mistake("lambda g: g * y, lambda g: g * x", "lambda g: y, lambda g: x",
                    "A vjp multiplies by the gradient g that comes from above; yours "
                    "forgets it."),
            Mistake("lambda g: g * x)", "lambda g: -g * x)",
                    "The sign of the second vjp: a product grows with both factors, nothing "
                    "is subtracted."),
            Mistake("lambda g: g * y, lambda g: g * x", "lambda g: g, lambda g: g",
                    "These are the vjps of a sum; the slope of x y in x is y."),
            Mistake("lambda g: g * y, lambda g: g * x", "lambda g: g + y, lambda g: g + x",
                    "By the chain rule g is multiplied by the slope, not added to it."),
            Mistake("lambda g: g * y, lambda g: g * x", "lambda g: g * x * y, lambda g: g * x * y",
                    "Multiply g by the slope, the other factor, not by the value x y."),
            Mistake("lambda g: g * y, lambda g: g * x)", "lambda g: g * y,)",
                    "There are two arguments, so there must be two vjps, one for each."),
            Mistake("(lambda g: g * y, lambda g: g * x)", "(lambda g: (g * y, g * x),)",
                    "There is one function for each argument, and each returns one gradient: "
                    "(lambda g: ..., lambda g: ...)."),
            Mistake("(lambda g: g * y, lambda g: g * x)",
                    "(lambda g: (g * y, g * x), lambda g: (g * y, g * x))",
                    "Each vjp returns the gradient of its own argument alone, not both."),
            Mistake("return x * y, (lambda g: g * y, lambda g: g * x)",
                    "return x @ y, (lambda g: g @ y.T, lambda g: x.T @ g)",
                    "This is the matrix product; x y multiplies entry by entry, x * y."),
            Mistake("(lambda g: g * y, lambda g: g * x)",
                    "(lambda g: g * (x * y) / x, lambda g: g * (x * y) / y)",
                    "The slope x y / x is 0 / 0 where x is 0: the slope in x is y itself."),
            Mistake("return x * y, (lambda g: g * y, lambda g: g * x)",
                    "return x * y, lambda g: (g * y, g * x)",
                    "The vjps are a tuple of two functions, not one function."),
            Mistake("lambda g: g * y, lambda g: g * x",
                    "lambda g: (g * y).sum(), lambda g: (g * x).sum()",
                    "A vjp sums nothing: the gradient has one entry for each entry of its "
                    "argument."))),
    Exercise(
        name="max",
        target="tinyml.ops.reductions:max",
        level=2, minutes=15,
        after=("mul",),
        hide=("_extreme",),
        task="Give the largest entry over an axis, and its vjp: entries that tie share the "
             "gradient equally",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[max]",
            "test_gradient_is_the_slope_in_a_random_direction[max]",
            "test_float32_stays_float32_whatever_the_constants[max]",
            "test_nothing_is_written_to[max]",
            "test_vjp_is_linear_in_g[max]",
            "test_euler_s_identity[max]",
            "test_slope_at_a_tie_or_kink"),
        hints=("Only the entries that attain the maximum get a gradient. Compare x with the "
               "maximum to find them.",
               "hit = (x == y) with y expanded back to the axes of x (see _expand); share = hit "
               "/ (number of hits along the axis); the gradient is g, expanded, times share.",
               "share = hit / hit.sum(axis=axis, keepdims=True), cast to g.dtype; return y, "
               "(lambda g: _expand(g, axis, x.ndim, keepdims) * share,)"),
        mistakes=(
            Mistake("share = hit / hit.sum(axis=axis, keepdims=True)", "share = hit",
                    "Entries that tie share the gradient: divide by how many there are."),
            Mistake("hit.sum(axis=axis, keepdims=True)", "hit.sum()",
                    "Ties are counted along the axis, for each maximum on its own, not over "
                    "the whole array."),
            Mistake("return _expand(g, axis, x.ndim, keepdims) * share.astype(g.dtype)",
                    "return np.broadcast_to(_expand(g, axis, x.ndim, keepdims), x.shape)",
                    "This is the gradient of a sum: entries that are not the maximum get "
                    "none."),
            Mistake("share.astype(g.dtype)", "share",
                    "float32 must stay float32: cast the shares to g.dtype."),
            Mistake("* share.astype(g.dtype)", "* share.astype(g.dtype) * x",
                    "The slope of a maximum in its largest entry is 1, not the entry itself."),
            Mistake("hit / hit.sum(axis=axis, keepdims=True)", "hit / x.size",
                    "The gradient is shared among the entries that tie, not among all."),
            Mistake("_expand(g, axis, x.ndim, keepdims) * share", "g * share",
                    "g has lost the reduced axes: put them back with _expand before it "
                    "meets x."),
            Mistake("x == _expand(y, axis, x.ndim, keepdims)", "x == x.max()",
                    "Each slice along the axis has its own maximum: compare with y, not "
                    "with the largest of all."),
            Mistake("    return y, _extreme(x, y, axis, keepdims)",
                    "    return x.max(axis=axis, keepdims=True), _extreme(x, y, axis, "
                    "keepdims)",
                    "keepdims is an argument: without it the value does not keep the reduced "
                    "axes."),
            Mistake("    share = hit / hit.sum(axis=axis, keepdims=True)\n",
                    "    share = hit & (np.cumsum(hit, axis=axis).reshape(hit.shape) == 1)\n",
                    "Entries that tie share the gradient equally; yours gives all of it to "
                    "the first."),
            Mistake("return (d_x,)", "return d_x",
                    "The vjps are a tuple, even if there is only one: mind the comma in "
                    "(d_x,)."),
            Mistake("_expand(g, axis, x.ndim, keepdims) * share.astype(g.dtype)",
                    "share.astype(g.dtype)",
                    "A vjp multiplies by the gradient g that comes from above; yours forgets "
                    "it."),
            Mistake("    y = x.max(axis=axis, keepdims=keepdims)\n"
                    "    return",
                    "    y = x.max(keepdims=keepdims)\n"
                    "    return",
                    "The axis is an argument: take the maximum over it, not over the whole "
                    "array."),
            Mistake("    y = x.max(axis=axis, keepdims=keepdims)\n"
                    "    return",
                    "    y = x.min(axis=axis, keepdims=keepdims)\n"
                    "    return",
                    "This is the smallest entry; the largest is asked for."))),
    Exercise(
        name="unbroadcast",
        target="tinyml.tensor:unbroadcast",
        level=2, minutes=15,
        after=("mul",),
        task="Sum a gradient down to the shape that its argument had before NumPy broadcast it",
        tests=laws_of(
            "tensor",
            "test_unbroadcast_is_the_adjoint_of_broadcast_to",
            "test_unbroadcast_of_what_was_stretched_to_nothing_is_zero",
            "test_unbroadcast_refuses_what_no_broadcasting_gives",
            "test_gradients_of_random_graphs"),
        hints=("An entry that was copied gets the sum of the gradients of its copies. Which "
               "axes are copies?",
               "First sum over the g.ndim - len(shape) axes that NumPy added in front. Then sum, "
               "with keepdims=True, over the axes where shape has 1 and g has another length, "
               "which may be 0.",
               "g.sum(axis=tuple(range(g.ndim - len(shape)))), then g.sum(axis=those i with "
               "shape[i] == 1, keepdims=True), then raise a ValueError unless g.shape == shape."),
        mistakes=(
            Mistake("        g = add_up(g, tuple(range(added)))",
                    "        g = g.mean(axis=tuple(range(added)))",
                    "Copies add up: sum over the axes in front, do not average."),
            Mistake("g = add_up(g, stretched, keepdims=True)",
                    "g = g.mean(axis=stretched, keepdims=True)",
                    "Copies add up: sum over the stretched axes, do not average."),
            Mistake("tuple(range(added))", "tuple(range(g.ndim - added, g.ndim))",
                    "NumPy adds axes in front, not at the end: sum the first ones."),
            Mistake("g.shape[i] != 1)", "g.shape[i] > 1)",
                    "NumPy also stretches length 1 to length 0: sum over such an axis too, which "
                    "gives 0 and length 1."),
            Mistake("    if g.shape != shape:\n"
                    "        raise",
                    "    if False:\n"
                    "        raise",
                    "A shape that no broadcasting gives must be refused with a ValueError."),
            Mistake("        g = add_up(g, stretched, keepdims=True)\n"
                    "    if g.shape != shape:",
                    "        return g\n"
                    "    if g.shape != shape:",
                    "You undo only the axes added in front. Sum over the axes that were "
                    "stretched from length 1 too."),
            Mistake("    if added > 0:\n"
                    "        g = add_up(g, tuple(range(added)))\n",
                    "",
                    "You undo only the stretched axes. Sum over those that NumPy added in front "
                    "too."),
            Mistake("add_up(g, tuple(range(added)))", "g.sum(axis=0)",
                    "Several axes may have been added in front: sum over all of them."),
            Mistake("g = add_up(g, stretched, keepdims=True)",
                    "g = g[tuple(slice(0, 1) if i in stretched else slice(None) for i in "
                    "range(g.ndim))]",
                    "You keep the gradient of the first copy; the gradients of all copies "
                    "add up."),
            Mistake("        g = add_up(g, stretched, keepdims=True)\n"
                    "    if g.shape != shape:",
                    "        return g.sum(axis=stretched)\n"
                    "    if g.shape != shape:",
                    "A stretched axis had length 1 and must have it again: keepdims=True."),
            Mistake("    if added > 0:\n"
                    "        g = add_up(g, tuple(range(added)))\n"
                    "    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and "
                    "g.ndim > i and g.shape[i] != 1)\n"
                    "    if stretched:\n"
                    "        g = add_up(g, stretched, keepdims=True)\n"
                    "    if g.shape != shape:\n"
                    "        raise",
                    "    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and "
                    "g.ndim > i)\n"
                    "    g = add_up(g, stretched, keepdims=True)\n"
                    "    if False:\n"
                    "        raise",
                    "You undo only the stretched axes. Sum over those that NumPy added in "
                    "front too."),
            Mistake("    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and "
                    "g.ndim > i and g.shape[i] != 1)\n"
                    "    if stretched:\n"
                    "        g = add_up(g, stretched, keepdims=True)\n"
                    "    if g.shape != shape:\n"
                    "        raise",
                    "    g = g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1))\n"
                    "    if False:\n"
                    "        raise",
                    "A stretched axis had length 1 and must have it again: keepdims=True."),
            Mistake("    if added > 0:\n"
                    "        g = add_up(g, tuple(range(added)))\n"
                    "    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and "
                    "g.ndim > i and g.shape[i] != 1)\n"
                    "    if stretched:\n"
                    "        g = add_up(g, stretched, keepdims=True)\n",
                    "    stretched = tuple(i for i, n in enumerate(shape) if n == 1)\n"
                    "    g = g.sum(axis=tuple(range(added)) + stretched).reshape(shape)\n",
                    "The axes of shape are the last ones of g: axis i of shape is axis added "
                    "+ i of g, unless the axes in front have been summed before."),
            Mistake("add_up(g, tuple(range(added)))", "g[(0,) * added]",
                    "You keep the gradient of the first copy; the gradients of all copies "
                    "add up."),
            Mistake("    if added > 0:\n",
                    "    if g.shape == shape:\n"
                    "        return np.zeros_like(g)\n"
                    "    if added > 0:\n",
                    "Where nothing was broadcast the gradient stays as it is."))),
    Exercise(
        name="walk",
        target="tinyml.tensor:walk",
        level=3, minutes=30,
        after=("unbroadcast",),
        task="Walk back from an output to every tensor that it was computed from, and yield "
             "each with its complete gradient",
        tests=laws_of(
            "tensor",
            "test_gradients_of_random_graphs",
            "test_the_walk_meets_every_tensor_once_the_newest_first",
            "test_a_leaf_comes_last_however_new_it_is",
            "test_every_tensor_gets_an_array_of_its_own_shape_and_dtype",
            "test_parts_without_axes_add_up_to_an_array_without_axes",
            "test_a_watcher_is_told_of_every_part_and_the_parts_are_the_whole",
            "test_every_backward_adds_the_gradients_once_more",
            "test_backward_of_a_leaf_and_from_a_given_gradient",
            "test_only_tensors_that_need_a_gradient_are_recorded",
            "test_two_tensors_follow_numpy_and_each_gradient_its_tensor"),
        hints=("A tensor's gradient is complete once all tensors computed from it, its users, "
               "have been met. Tensors are numbered as they are made (tensor.serial), so users "
               "have larger numbers: go from the largest to the smallest.",
               "Keep {tensor: gradient so far} and a heap of (-serial, tensor). Pop a tensor, "
               "and yield it with its gradient; then for each (parent, vjp) in tensor.edges add "
               "vjp(g) to the gradient of the parent. A leaf (no edges) has nothing to pass on: "
               "leave it in the dict, and yield it at the end.",
               "while queue: pop; g = grads.pop(tensor); yield tensor, g; for parent, vjp in "
               "tensor.edges: part = _conform(vjp(g), parent, tensor); tell mode.watcher, unless "
               "it is None; if parent in grads: np.asarray(grads[parent] + part), because a sum "
               "of arrays without axes is a number; else: set, and push the parent if it has "
               "edges. The leaves are left over, in grads, and come last."),
        mistakes=(
            Mistake("np.asarray(grads[parent] + part)", "part",
                    "A tensor with several users gets the sum of their parts; yours keeps "
                    "the last one only."),
            Mistake("heappush(queue, (-parent.serial, parent))",
                    "heappush(queue, (parent.serial, parent))",
                    "The order: the newest must come first, so the heap needs the negative "
                    "serial number."),
            Mistake("_, tensor = heappop(queue)", "_, tensor = queue.pop(0)",
                    "In this order a tensor may come before all its users have passed back: take "
                    "the waiting tensor with the largest serial."),
            Mistake("                if parent.edges:    # a leaf has nothing to pass on\n"
                    "                    ",
                    "                if True:\n"
                    "                    ",
                    "Leaves come last, even a leaf made after an operation: keep leaves out of "
                    "the heap."),
            Mistake("_conform(vjp(g), ", "_conform(vjp(gradient), ",
                    "Each vjp needs the gradient of its own tensor, not the one that the walk "
                    "began with."),
            Mistake("grads[parent] = np.asarray(grads[parent] + part)", "grads[parent] += part",
                    "Adding in place writes into an array that others may share (a vjp may "
                    "return its g): write grads[parent] = np.asarray(grads[parent] + part)."),
            Mistake("np.asarray(grads[parent] + part)", "grads[parent] + part",
                    "The sum of two arrays without axes is a NumPy number, not an array: put "
                    "np.asarray(...) around it."),
            Mistake("            if watcher is not None:", "            if False:",
                    "mode.watcher, if there is one, is told of every part: "
                    "watcher.passed_back(tensor, parent, part)."),
            Mistake("part = _conform(vjp(g), parent, tensor)", "part = vjp(g)",
                    "A vjp may ignore broadcasting and dtypes: _conform its result to the "
                    "parent."),
            Mistake("    yield from grads.items()", "",
                    "The leaves never come: yield them with their gradients at the end."),
            Mistake("{root: gradient}, [", "{root: np.ones_like(gradient)}, [",
                    "The walk starts from the gradient that is given, not from ones."),
            Mistake("yield tensor, g\n",
                    "yield tensor, gradient\n",
                    "Each tensor comes with its own gradient, not with that of the root."),
            Mistake(LOOP, IN_TURN.replace("        yield tensor, g\n", "")
                    + "    yield from grads.items()", OUT_OF_ORDER),
            Mistake(LOOP, IN_TURN, OUT_OF_ORDER),
            Mistake(LOOP, NEWEST_FIRST, OUT_OF_ORDER),
            Mistake(LOOP,
                    "    yield root, gradient\n"
                    "    for parent, vjp in root.edges:\n"
                    "        part = _conform(vjp(gradient), parent, root)\n"
                    "        if watcher is not None:\n"
                    "            watcher.passed_back(root, parent, part)\n"
                    "        yield from walk(parent, part)",
                    "A tensor with several users comes several times here, each time with a "
                    "part of its gradient: add up all parts before you yield it, once."),
            Mistake("        yield tensor, g\n",
                    "        if tensor is not root:\n"
                    "            yield tensor, g\n",
                    "The root comes too: it is the first, with the gradient that is given."),
            Mistake("        for parent, vjp in tensor.edges:\n"
                    "            part",
                    "        for parent, vjp in tensor.edges[:1]:\n"
                    "            part",
                    "Each parent gets its part: go through all edges of a tensor."),
            Mistake("part = _conform(vjp(g), parent, tensor)",
                    "part = _conform(vjp(g), tensor, parent)",
                    "_conform(g, parent, user) brings g to the shape of the parent: the "
                    "parent comes first."),
            Mistake("                if parent.edges:    # a leaf has nothing to pass on\n"
                    "                    heappush(queue, (-parent.serial, parent))",
                    "                heappush(queue, (parent.serial, parent))",
                    "The order: the newest must come first, so the heap needs the negative "
                    "serial number."))),
))
