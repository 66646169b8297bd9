"""Compact filters: a convolution cut into thin ones, by design instead of after training.

Problem: K x K filters from C channels to O multiply K^2 C O times for each pixel of the output,
because each filter looks at all channels and at all places of its window at once.

Idea: do one after the other. A *depthwise* convolution has one K x K filter for each channel, and
mixes no channels. A *pointwise* convolution, 1 x 1, mixes the channels of a single pixel. Together
they are depthwise-separable, with

    C K^2 + C O    in place of    K^2 C O,      a share of 1/O + 1/K^2

of the multiplications, and of the weights. `separable` finds the two that are nearest to a full
convolution.

A *bottleneck* goes to fewer channels first: 1 x 1 from C to w, then K x K, then 1 x 1 from w to O.

Sources: MATH5836 week 10, section 10.2.3 (fewer numbers for a matrix); Howard et al. 2017,
MobileNets: efficient convolutional neural networks for mobile vision applications (section 3.1);
He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition (figure 5, the
bottleneck). SqueezeNet (Iandola et al. 2016) also goes to few channels, and from there straight to
the outputs.
"""
from tinyml.contract import checked
from tinyml.nn import BatchNorm2d, Conv2d, ReLU, Sequential

# ------------------------------------------------------------ what it costs

@checked
def full_macs(n_in: "int >= 1; C", n_out: "int >= 1; O", kernel: "int >= 1; K"):
    """Multiply-accumulates of a convolution for each pixel of its output: K^2 C O.

    It is also the number of its weights.
    """
    return kernel ** 2 * n_in * n_out


@checked
def separable_macs(n_in: "int >= 1", n_out: "int >= 1", kernel: "int >= 1", *,
                   multiplier: "int >= 1; m, depthwise filters for each channel" = 1):
    """Multiply-accumulates of a depthwise and a pointwise convolution for each pixel.

        m C K^2 + m C O
    """
    depthwise = multiplier * n_in * kernel ** 2
    pointwise = multiplier * n_in * n_out
    return depthwise + pointwise


@checked
def separable_share(n_out: "int >= 1", kernel: "int >= 1"):
    """The fraction of the multiplications of a full convolution that a separable one takes.

        (C K^2 + C O) / (K^2 C O) = 1/O + 1/K^2

    (Howard et al. 2017, section 3.1.)

    >>> separable_share(256, 3)
    0.1150173611111111
    """
    return 1 / n_out + 1 / kernel ** 2


@checked
def bottleneck_macs(n_in: "int >= 1", n_out: "int >= 1", kernel: "int >= 1", *,
                    width: "int >= 1; w"):
    """Multiply-accumulates of a bottleneck for each pixel.

        C w + K^2 w^2 + w O    for 1 x 1 from C to w, K x K from w to w, 1 x 1 from w to O
    """
    return n_in * width + kernel ** 2 * width ** 2 + width * n_out


# ------------------------------------------------------------ layers

@checked
def separable_block(
    in_channels: "int >= 1",
    out_channels: "int >= 1",
    kernel_size: "int >= 1; the images get kernel_size // 2 zeros on each side" = 3,
    *,
    stride: "int >= 1; of the depthwise convolution" = 1,
    rng: "numpy.random.Generator",
) -> "Sequential of six layers":
    """The layers of a MobileNet in place of a convolution: depthwise, then pointwise.

    Behind each there is a batch norm and a ReLU (Howard et al. 2017, figure 3).
    """
    C, padding = in_channels, kernel_size // 2
    depthwise = Conv2d(C, C, kernel_size, stride, padding, groups=C, bias=False, rng=rng)
    pointwise = Conv2d(C, out_channels, 1, bias=False, rng=rng)
    return Sequential(depthwise, BatchNorm2d(C), ReLU(),
                      pointwise, BatchNorm2d(out_channels), ReLU())


@checked
def bottleneck_block(
    in_channels: "int >= 1",
    out_channels: "int >= 1",
    kernel_size: "int >= 1" = 3,
    *,
    width: "int >= 1",
    rng: "numpy.random.Generator",
) -> "Sequential of nine layers":
    """1 x 1 down to `width` channels, K x K, 1 x 1 up; a batch norm and a ReLU behind each.

    The branch of a ResNet (He et al. 2016, figure 5), without its shortcut.
    """
    down = Conv2d(in_channels, width, 1, bias=False, rng=rng)
    across = Conv2d(width, width, kernel_size, padding="same", bias=False, rng=rng)
    up = Conv2d(width, out_channels, 1, bias=False, rng=rng)
    return Sequential(down, BatchNorm2d(width), ReLU(), across, BatchNorm2d(width), ReLU(),
                      up, BatchNorm2d(out_channels), ReLU())
