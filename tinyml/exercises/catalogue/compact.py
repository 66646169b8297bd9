"""Compact filters (10.2.3): depthwise-separable convolutions, their cost and the nearest ones."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("compact", "10.2.3 Compact filters: a convolution in two thin steps", (
    Exercise(
        name="separable_macs",
        target="tinyml.compression.compact:separable_macs",
        level=1, minutes=5,
        task="Count the multiplications of a depthwise and a pointwise convolution, per pixel",
        tests=laws_of(
            "compact",
            "test_the_share_of_the_multiplications_depends_on_outputs_and_kernel_only",
            "test_the_formulas_are_the_multiplications_per_pixel_and_the_weights"),
        hints=("Count the two steps one after the other. How many filters does each have, and how "
               "many numbers does a filter have?",
               "Depthwise: m C filters of K x K numbers, each on a single channel. Pointwise: O "
               "filters of one number for each of the m C channels in between.",
               "depthwise = multiplier * n_in * ...; pointwise = multiplier * n_in * ...; the sum"),
        mistakes=(
            Mistake("kernel ** 2", "kernel",
                    "A K x K filter has K^2 numbers."),
            Mistake("depthwise = multiplier * n_in", "depthwise = n_in",
                    "There are m depthwise filters for each channel."),
            Mistake("pointwise = multiplier * n_in", "pointwise = n_in",
                    "The pointwise convolution reads all m C channels in between."),
            Mistake("depthwise = multiplier * n_in", "depthwise = multiplier * n_out",
                    "The depthwise filters belong to the inputs: m for each of the C channels."),
            Mistake("depthwise = multiplier * n_in", "depthwise = multiplier * n_in * n_out",
                    "A depthwise filter reads a single channel, and is shared by all outputs."),
            Mistake("pointwise = multiplier * n_in * n_out",
                    "pointwise = multiplier * n_in * n_out * kernel ** 2",
                    "A pointwise filter is 1 x 1: K does not count."),
            Mistake("depthwise + pointwise", "depthwise * pointwise",
                    "One step follows the other: their multiplications add up."),
            Mistake("depthwise + pointwise", "pointwise",
                    "The depthwise step also costs: m C K^2."),
            Mistake("pointwise = multiplier * n_in * n_out", "pointwise = multiplier * n_out ** 2",
                    "The pointwise convolution goes from m C channels to O."),
            Mistake("depthwise + pointwise",
                    "depthwise + pointwise + multiplier * n_in + n_out",
                    "Only multiplications count: a bias is added, and takes none."),
            Mistake("multiplier * n_in * kernel ** 2", "multiplier * n_out * kernel ** 2",
                    "The depthwise filters belong to the inputs: m for each of the C channels."))),
    Exercise(
        name="compose",
        target="tinyml.compression.separable:compose",
        level=2, minutes=15, keep=3,
        task="Write out the full filters of a depthwise and a pointwise convolution",
        tests=laws_of(
            "separable",
            "test_the_composed_filter_is_a_number_times_the_filter_of_its_channel",
            "test_two_convolutions_compute_the_composed_one_whatever_stride_padding_and_dilation"),
        hints=("Follow one input channel c to one output o: through which of the depthwise "
               "filters does it go, and which numbers multiply them?",
               "W[o, c] = sum_q P[o, c, q] D[c, q], over the m filters q of channel c. Reshape "
               "pointwise to P (O, C, m) and depthwise to D (C, m, kh, kw).",
               "P = pointwise.reshape(n_out, n_in, m); D = depthwise.reshape(n_in, ..., "
               "*depthwise.shape[2:]); np.einsum sums their product over q"),
        also=("The m filters of a channel stand side by side: those of channel c have the numbers "
              "c m to c m + m - 1.",),
        mistakes=(
            Mistake("    P = pointwise.reshape(n_out, n_in, m)\n"
                    "    D = depthwise.reshape(n_in, m, *depthwise.shape[2:])",
                    "    P = pointwise.reshape(n_out, m, n_in).swapaxes(1, 2)\n"
                    "    D = depthwise.reshape(m, n_in, *depthwise.shape[2:]).swapaxes(0, 1)",
                    "The m filters of one channel stand side by side: the channel is the slow "
                    "index, in both arrays."),
            Mistake("pointwise.reshape(n_out, n_in, m)",
                    "pointwise.reshape(n_out, m, n_in).swapaxes(1, 2)",
                    "The m filters of one channel stand side by side: the channel is the slow "
                    "index, in pointwise too."),
            Mistake("depthwise.reshape(n_in, m, *depthwise.shape[2:])",
                    "depthwise.reshape(m, n_in, *depthwise.shape[2:]).swapaxes(0, 1)",
                    "The m filters of one channel stand side by side: the channel is the slow "
                    "index, in depthwise too."),
            Mistake("->ocij", "->ocji",
                    "Your filters are transposed: rows i before columns j."),
            Mistake('np.einsum("ocq,cqij->ocij", P, D)',
                    'np.einsum("ocq,cqij->ocij", P, D) / m',
                    "The output is the sum over the m filters, not their mean."),
            Mistake('np.einsum("ocq,cqij->ocij", P, D)',
                    'P.sum(axis=2)[:, :, None, None] * D.sum(axis=1)',
                    "The sum of products is not the product of the sums: multiply before you sum "
                    "over q."),
            Mistake('"ocq,cqij->ocij", P, D', '"ocq,cqij->ocij", P[:, :, :1], D[:, :1]',
                    "That is the first of m filters only."),
            Mistake('np.einsum("ocq,cqij->ocij", P, D)',
                    'np.einsum("ocq,cqij->ocij", P, D)[:, :, ::-1, ::-1]',
                    "Networks do not flip their filters: W has them as they are."),
            Mistake('np.einsum("ocq,cqij->ocij", P, D)',
                    'np.einsum("ocq,cqij->ocij", P, D)[::-1]',
                    "The outputs keep their order."),
            Mistake('np.einsum("ocq,cqij->ocij", P, D)',
                    'np.einsum("ocq,cqij->ocij", np.abs(P), D)',
                    "The numbers of a pointwise filter may be negative: keep their signs."))),
    Exercise(
        name="separate",
        target="tinyml.compression.separable:separate",
        level=3, minutes=30,
        after=("truncated_svd", "compose"),
        task="Find the depthwise-separable filters nearest to given ones",
        tests=laws_of(
            "separable",
            "test_the_error_is_that_of_the_singular_values_left_out",
            "test_filters_of_rank_m_in_each_channel_are_separable_exactly",
            "test_no_other_separable_filters_are_nearer"),
        hints=("No two input channels share a filter, so each is a problem of its own. Which "
               "matrix must have low rank?",
               "channel_matrices(weight) has the W_c (O, kh kw) of all channels; np.linalg.svd "
               "takes them all at once. The first m columns of U times sqrt(s) are pointwise, the "
               "first m rows of Vh times sqrt(s) depthwise.",
               "U, s, Vh = np.linalg.svd(channel_matrices(weight), full_matrices=False); root = "
               "np.sqrt(s[:, :multiplier]); P = U[:, :, :multiplier] * ...; D = Vh[:, "
               ":multiplier] * ...; D.reshape(C * multiplier, 1, kh, kw), and P with O first"),
        also=("channel_matrices(weight) is an array (C, O, kh kw).",
              "The m filters of a channel stand side by side. Both factors get a root of the "
              "singular values, so that they have equal norms."),
        mistakes=(
            Mistake("    depthwise = D.reshape(C * multiplier, 1, kh, kw)\n    pointwise = "
                    "P.transpose(1, 0, 2).reshape",
                    "    depthwise = D.swapaxes(0, 1).reshape(C * multiplier, 1, kh, kw)\n"
                    "    pointwise = P.transpose(1, 2, 0).reshape",
                    "The filters of one channel stand side by side: with groups=C, that is "
                    "how a convolution reads them."),
            Mistake("root = np.sqrt(s[:, :multiplier])", "root = s[:, :multiplier]",
                    "Each factor gets a root of the singular values: with all of them in both, "
                    "the product has their squares."),
            Mistake("P = U[:, :, :multiplier] * root[:, None]", "P = U[:, :, :multiplier]",
                    "The pointwise factor needs its root of the singular values, too."),
            Mistake("D = Vh[:, :multiplier] * root[:, :, None]", "D = Vh[:, :multiplier]",
                    "The depthwise factor needs its root of the singular values, too."),
            Mistake("P = U[:, :, :multiplier] * root[:, None]                        # (C, O, m)\n"
                    "    D = Vh[:, :multiplier] * root[:, :, None]",
                    "P = U[:, :, :multiplier] * root[:, None] ** 2\n    D = Vh[:, :multiplier]",
                    "The product is right, but one factor has all of the singular values: give "
                    "each a root."),
            Mistake("    root = np.sqrt(s[:, :multiplier])",
                    "    U, s, Vh = U[:, :, ::-1], s[:, ::-1], Vh[:, ::-1]\n"
                    "    root = np.sqrt(s[:, :multiplier])",
                    "Keep the largest singular values: NumPy puts them first."),
            Mistake("P.transpose(1, 0, 2).reshape", "P.reshape",
                    "P has the channel first; a pointwise filter has the output first: swap them "
                    "before you reshape."),
            Mistake("channel_matrices(weight)", "weight.reshape(C, n_out, kh * kw)",
                    "A reshape does not swap outputs and channels: the rows of W_c are the "
                    "outputs of one channel."),
            Mistake("channel_matrices(weight)",
                    "channel_matrices(weight) - channel_matrices(weight).mean(axis=1, "
                    "keepdims=True)",
                    "That is a principal component analysis: nothing adds the mean back."),
            Mistake("channel_matrices(weight)",
                    "np.broadcast_to(channel_matrices(weight).mean(axis=0), (C, n_out, kh * kw))",
                    "Each channel has a matrix of its own, and an SVD of its own."),
            Mistake("depthwise = D.reshape", "depthwise = D.swapaxes(0, 1).reshape",
                    "The filters of one channel stand side by side: with groups=C, that is how a "
                    "convolution reads them."),
            Mistake("root = np.sqrt(s[:, :multiplier])",
                    "root = np.sqrt(s[:, :multiplier] / multiplier)",
                    "The components add up, each with the whole of its singular value."))),
    Exercise(
        name="separate_conv",
        target="tinyml.compression.separable:separate_conv",
        level=2, minutes=20, keep=2,
        after=("separate",),
        task="Make a depthwise and a pointwise convolution of one",
        tests=laws_of(
            "separable",
            "test_two_convolutions_compute_the_composed_one_whatever_stride_padding_and_dilation"),
        hints=("separate gives the two sets of filters. Which settings of the layer belong to the "
               "first step, which to the second?",
               "Depthwise: filters (C m, 1, kh, kw), groups=C, no bias, the layer's stride and "
               "padding. Pointwise: filters (O, C m, 1, 1), the layer's bias, stride 1, padding 0.",
               "depthwise, pointwise = separate(...); first = conv_like(layer, depthwise, ..., "
               "bias=False, groups=layer.in_channels); second = conv_like(layer, pointwise, ...); "
               "return Sequential(first, second)"),
        also=("conv_like(layer, weight, stride, padding, bias=True, groups=1) is a convolution of "
              "the layer's class with this weight, and with a copy of its bias or none.",),
        mistakes=(
            Mistake("stride=1, padding=0", "stride=1, padding=layer.padding",
                    "The first step has padded already: the second has no padding."),
            Mistake("stride=1, padding=0", "stride=layer.stride, padding=0",
                    "The first step has the stride: the second moves by one pixel."),
            Mistake("depthwise, layer.stride, layer.padding", "depthwise, 1, layer.padding",
                    "The depthwise step has the stride of the layer."),
            Mistake("depthwise, layer.stride, layer.padding", "depthwise, layer.stride, 0",
                    "The depthwise step has the padding of the layer."),
            Mistake("stride=1, padding=0", "stride=1, padding=0, bias=False",
                    "The outputs have the bias of the layer."),
            Mistake("layer.padding, bias=False,", "layer.padding,",
                    "The bias belongs to the outputs: only the second step has it."),
            Mistake("separate(layer.weight.data, multiplier=multiplier)",
                    "separate(layer.weight.data)",
                    "Each channel gets `multiplier` depthwise filters."),
            Mistake("groups=layer.in_channels", "groups=len(depthwise)",
                    "The groups are the C input channels; each has m filters."),
            Mistake("separate(layer.weight.data,", "separate(layer.weight.data[..., ::-1, ::-1],",
                    "Networks do not flip their filters: take them as they are."),
            Mistake("return Sequential(first, second)", "return Sequential(second, first)",
                    "The depthwise step comes first: its inputs are the channels of the layer."))),
))
