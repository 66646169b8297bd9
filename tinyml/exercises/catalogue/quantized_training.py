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
                    "The weights are scaled too: W' = factor W."))),
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
                    "The vjp returns the gradient g that it gets, not ones."))),
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
                    "Numbers outside of the range of the codes are clipped."))),
))
