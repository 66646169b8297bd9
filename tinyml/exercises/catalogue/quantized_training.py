"""Quantization in a network (10.2.2): fold the norm first, then train through the rounding."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("quantized_training", "10.2.2 Quantization: a network, and its training", (
    Exercise(
        name="fold_norm",
        target="tinyml.nn.folding:fold_norm",
        level=3, minutes=20,
        after=("channel_range",),
        task="Fold a batch norm into the Linear or convolution before it, so that evaluation "
             "gives the same",
        tests=laws_of(
            "folding",
            "test_folding_a_batch_norm_changes_nothing_in_evaluation"),
        hints=("In evaluation a batch norm is y = factor x + constant per channel. A layer with "
               "other weights and bias computes the same.",
               "factor = gamma / sqrt(var + eps). Multiply row o of the weight by factor_o. The "
               "new bias is factor (b - mean) + beta, with b = 0 if the layer has none. Change a "
               "copy of the layer.",
               "folded = copy.copy(layer); folded.weight = Parameter((factor * "
               "layer.weight.data.T).T); folded.bias = Parameter(...); return folded"),
        also=("All arrays are in Tensors: norm.weight.data is gamma, norm.bias.data beta, "
              "norm.running_mean.data and norm.running_var.data the statistics. layer.bias may "
              "be None.",),
        mistakes=(
            Mistake("factor * (bias - norm.running_mean.data)",
                    "bias - factor * norm.running_mean.data",
                    "The factor scales the layer's own bias as well: factor (b - mean)."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)",
                    "(norm.running_var.data + norm.eps)",
                    "A batch norm divides by the standard deviation, the root of var + eps."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "bias - norm.running_mean.data + norm.bias.data",
                    "The mean and the layer's bias are scaled by the factor as well."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "factor * (bias - norm.running_mean.data)",
                    "beta, the bias of the batch norm, is missing."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)", "np.sqrt(norm.running_var.data)",
                    "eps is part of the divisor: sqrt(var + eps)."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)",
                    "(np.sqrt(norm.running_var.data) + norm.eps)",
                    "eps is added to the variance, below the root: sqrt(var + eps)."),
            Mistake("copy.copy(layer)", "layer",
                    "Change a copy: the layer that was given stays as it is."),
            Mistake("norm.weight.data / np.sqrt", "1 / np.sqrt",
                    "gamma, the weight of the batch norm, belongs to the factor."),
            Mistake("(bias - norm.running_mean.data)", "(bias + norm.running_mean.data)",
                    "The sign: a batch norm subtracts the mean."),
            Mistake("(factor * layer.weight.data.T).T", "factor * layer.weight.data",
                    "One factor for each output channel, axis 0 of the weight: a product "
                    "broadcasts over the last axis, so transpose before and after it."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "factor * (bias - norm.running_mean.data + norm.bias.data)",
                    "beta is added last: it has no factor."),
            Mistake("(bias - norm.running_mean.data)", "(-norm.running_mean.data)",
                    "The layer's own bias is missing."),
            Mistake("(factor * layer.weight.data.T).T", "(layer.weight.data.T / factor).T",
                    "W' is factor times W; you divide."),
            Mistake("(bias - norm.running_mean.data)", "bias",
                    "The running mean is subtracted from the bias before the factor."),
            Mistake("(factor * layer.weight.data.T).T", "layer.weight.data.copy()",
                    "The weights are scaled too: W' = factor W."),
            Mistake("    folded.bias = Parameter(",
                    "    if layer.bias is None:\n"
                    "        return folded\n"
                    "    folded.bias = Parameter(",
                    "A layer without a bias gets one: with b = 0 it is beta - factor mean."),
            Mistake("bias = 0 if layer.bias is None else layer.bias.data",
                    "bias = layer.bias.data",
                    "layer.bias may be None: take 0 then."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "factor * bias - norm.running_mean.data + norm.bias.data",
                    "The mean is scaled by the factor as well: factor (b - mean)."),
            Mistake("(factor * layer.weight.data.T).T",
                    "(layer.weight.data.T / np.sqrt(norm.running_var.data + norm.eps)).T",
                    "gamma, the weight of the batch norm, belongs to the factor of the "
                    "weights too."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)",
                    "np.sqrt(np.square(norm.running_var.data) + norm.eps)",
                    "running_var is the variance already: do not square it."),
            Mistake("norm.weight.data / np.sqrt", "norm.weight.data * np.sqrt",
                    "factor = gamma / sqrt(var + eps): divide by the root."),
            Mistake("(factor * layer.weight.data.T).T",
                    "(factor * layer.weight.data.T).T.astype(float)",
                    "float32 stays float32."),
            Mistake("folded.weight = Parameter((factor * layer.weight.data.T).T)",
                    "folded.weight = Parameter(factor.mean() * layer.weight.data)",
                    "Each output channel has a factor of its own."),
            Mistake("    folded.bias = Parameter(factor * (bias - norm.running_mean.data) + "
                    "norm.bias.data)\n",
                    "    if layer.bias is not None:\n"
                    "        folded.bias = layer.bias\n"
                    "    else:\n"
                    "        folded.bias = Parameter(norm.bias.data - factor * "
                    "norm.running_mean.data)\n",
                    "The bias changes as well: b' = factor (b - mean) + beta."),
            Mistake("norm.eps)", "1e-3)",
                    "eps is that of the batch norm: norm.eps."))),
    Exercise(
        name="round_ste",
        target="tinyml.ops.straight_through:round_ste",
        level=1, minutes=5,
        after=("notes_codes",),
        task="Round to the nearest integer, with the gradient of the identity",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[round_ste]",
            "test_straight_through_borrows_the_gradient_of_another_function[round_ste]",
            "test_float32_stays_float32_whatever_the_constants[round_ste]",
            "test_nothing_is_written_to[round_ste]",
            "test_vjp_is_linear_in_g[round_ste]",
            "test_ties_of_values"),
        hints=("A primitive returns the value and a tuple with one function of g. Which slope "
               "does the straight-through estimator pretend?",
               "The value is np.round(x); the vjp is the identity, g -> g.",
               "return np.round(x), (lambda g: ...,) - mind the comma: a tuple of one."),
        mistakes=(
            Mistake("lambda g: g,", "lambda g: 0 * g,",
                    "That is the true slope of rounding, and nothing would be learned: let "
                    "g through unchanged."),
            Mistake("np.round(x)", "np.floor(x)",
                    "Round to the nearest integer: floor always goes down."),
            Mistake("np.round(x)", "np.floor(x + 0.5)",
                    "Ties go to the even number, as np.round does: 0.5 becomes 0."),
            Mistake("lambda g: g,", "lambda g: np.round(g),",
                    "The gradient is not rounded: it goes straight through."),
            Mistake("np.round(x)", "np.trunc(x)",
                    "trunc cuts off towards 0; the nearest integer may lie further out."),
            Mistake("np.round(x)", "np.ceil(x)",
                    "Round to the nearest integer, not up."),
            Mistake("lambda g: g,", "lambda g: g * (np.abs(x) <= 1),",
                    "The gradient passes unchanged, for every x."),
            Mistake("lambda g: g,", "lambda g: g * x,",
                    "In the backward pass the function counts as the identity, with slope 1, not "
                    "x."),
            Mistake("lambda g: g,", "lambda g: np.ones_like(x),",
                    "The vjp returns the gradient g that it gets, not ones."),
            Mistake("lambda g: g,", "lambda g: g * np.round(x),",
                    "In the backward pass the function counts as the identity, with slope 1, "
                    "not round(x)."),
            Mistake("(lambda g: g,)", "(lambda g: g)",
                    "The vjps are a tuple, with one function for each argument: (lambda g: "
                    "g,), with a comma."),
            Mistake("np.round(x)", "np.rint(x).astype(int)",
                    "float32 stays float32: the result is not cast to int."),
            Mistake("np.round(x)", "np.round(x).astype(np.float64)",
                    "float32 stays float32."),
            Mistake("np.round(x)", "np.round(x, out=x)",
                    "Nothing is written to: x stays as it is."),
            Mistake("np.round(x)", "np.sign(x) * np.floor(np.abs(x) + 0.5)",
                    "Ties go to the even number, not away from zero: 0.5 becomes 0."),
            Mistake("lambda g: g,", "lambda g: g * (x == np.round(x)),",
                    "The gradient passes unchanged, for every x."),
            Mistake("lambda g: g,", "lambda g: -g,",
                    "The gradient of the identity is g, with its sign."),
            Mistake("np.round(x)", "x",
                    "Forward, the value is rounded; only backward it counts as the identity."))),
    Exercise(
        name="fake_quantize",
        target="tinyml.compression.quantization_aware:fake_quantize",
        level=3, minutes=20,
        after=("round_ste", "quantize"),
        task="Replace numbers by the nearest value that has a code, with gradients for the "
             "numbers and for the step",
        tests=laws_of(
            "quantization_aware",
            "test_fake_quantization_is_dequantize_of_quantize",
            "test_half_a_step_goes_to_the_even_number_of_steps",
            "test_what_is_clipped_has_the_gradient_zero_or_one",
            "test_value_and_gradients_of_a_learned_step_are_those_of_the_paper",
            "test_the_ends_are_inside_and_halves_round_to_even",
            "test_where_all_is_clipped_the_gradient_of_the_step_is_the_slope"),
        hints=("Write the formula with functions that have the right gradients. Which function "
               "limits, and which one rounds?",
               'clipped = theta / S, limited to quant_min - Z ... quant_max - Z by ops.clip '
               '("inside") or ops.clamp_ste ("identity"); the result is S round(clipped). Z '
               'may be an array, with an entry for each channel.',
               'clip = ops.clip if gradient == "inside" else ops.clamp_ste; return S * '
               'ops.round_ste(clip(..., low=..., high=...))'),
        also=("ops.clip(x, low=..., high=...) has the gradient 0 outside of its bounds, "
              "ops.clamp_ste, called alike, 1 everywhere; ops.round_ste rounds "
              "straight-through. The engine does the rest.",
              "Both bounds are inside: quant_min - Z <= theta / S <= quant_max - Z."),
        mistakes=(
            Mistake('ops.clip if gradient == "inside" else ops.clamp_ste', "ops.clamp_ste",
                    'With gradient="inside" no gradient flows where theta is clipped: there a '
                    "change of theta changes nothing."),
            Mistake('ops.clip if gradient == "inside" else ops.clamp_ste', "ops.clip",
                    'With gradient="identity" the gradient flows where theta is clipped, '
                    'too: ops.clamp_ste.'),
            Mistake("S * ops.round_ste(clipped)", "S * (ops.round_ste(clipped) + Z)",
                    "Z enters only the bounds: the value is S (q - Z), and you have rounded q - "
                    "Z already."),
            Mistake("S * ops.round_ste(clipped)", "ops.round_ste(clipped)",
                    "The result is on the scale of theta again: multiply by the step."),
            Mistake("low=quant_min - Z, high=quant_max - Z", "low=quant_min, high=quant_max",
                    "quant_min and quant_max limit q = round(theta / S) + Z: subtract Z to "
                    "limit theta / S."),
            Mistake("    clipped = clip(theta / S, low=quant_min - Z, high=quant_max - Z)\n"
                    "    return S * ops.round_ste(clipped)",
                    "    clipped = clip(ops.round_ste(theta / S), low=quant_min - Z, "
                    "high=quant_max - Z)\n"
                    "    return S * clipped",
                    "Limit first, then round: what is inside depends on theta / S, before "
                    "it is rounded."),
            Mistake("S * ops.round_ste(clipped)", "S * ops.round_ste(clipped).detach()",
                    "detach stops the gradient: round_ste lets it through by itself."),
            Mistake("clip(theta / S, low=quant_min - Z, high=quant_max - Z)",
                    "clip(theta, low=quant_min - Z, high=quant_max - Z) / S",
                    "The bounds are codes: divide by S first, then clip."),
            Mistake("low=quant_min - Z, high=quant_max - Z",
                    "low=quant_min + Z, high=quant_max + Z",
                    "Codes without Z run from quant_min - Z to quant_max - Z."),
            Mistake("clip(theta / S, low=quant_min - Z, high=quant_max - Z)", "theta / S",
                    "Numbers outside of the range of the codes are clipped."),
            Mistake("    clip = ops.clip",
                    "    S = S.detach() if isinstance(S, Tensor) else S\n"
                    "    clip = ops.clip",
                    "A step that is a Tensor has a gradient too: use it as it is, without "
                    "detach or data."),
            Mistake('ops.clip if gradient == "inside" else ops.clamp_ste',
                    'ops.clamp_ste if gradient == "inside" else ops.clip',
                    'The two gradients are exchanged: "inside" is ops.clip, "identity" is '
                    "ops.clamp_ste."),
            Mistake("low=quant_min - Z, high=quant_max - Z",
                    "low=Z - quant_max, high=Z - quant_min",
                    "The bounds have the wrong sign: theta / S lies between quant_min - Z "
                    "and quant_max - Z."),
            Mistake("S * ops.round_ste(clipped)", "clipped * S",
                    "Between the clip and the product, round: ops.round_ste."),
            Mistake("ops.round_ste(clipped)", "Tensor(np.round(clipped.data))",
                    "The gradient must pass through the rounding: np.round stops it, "
                    "ops.round_ste does not."),
            Mistake("    return S * ops.round_ste(clipped)",
                    "    return (S * ops.round_ste(clipped)).detach()",
                    "detach stops the gradient: round_ste lets it through by itself."),
            Mistake("    clipped = clip(theta / S, low=quant_min - Z, high=quant_max - Z)\n"
                    "    return S * ops.round_ste(clipped)",
                    "    codes = clip(ops.round_ste(theta / S) + Z, low=quant_min, "
                    "high=quant_max)\n"
                    "    return S * codes",
                    "Subtract Z before you multiply by S: the value is S (q - Z)."),
            Mistake("    clipped = clip(theta / S, low=quant_min - Z, high=quant_max - Z)\n"
                    "    return S * ops.round_ste(clipped)",
                    "    codes = clip(ops.round_ste(theta / S) + Z, low=quant_min, "
                    "high=quant_max)\n"
                    "    return S * (codes - Z)",
                    "Limit first, then round: what is inside depends on theta / S, before it "
                    "is rounded."),
            Mistake("S * ops.round_ste(clipped)", "ops.round_ste(clipped) / S",
                    "Multiply by S: theta was divided by it."),
            Mistake("S * ops.round_ste(clipped)",
                    "theta + (S * ops.round_ste(clipped) - theta).detach()",
                    "With detach the gradient of theta is 1 everywhere and that of S is "
                    "missing: use ops.clip, ops.clamp_ste and ops.round_ste."))),
))
