"""Pre-training that several demos share: views of digits, Adam on a cosine, an encoder from SimCLR."""
import math

from tinyml.nn import Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head, train_simclr

VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))


def adam_on_cosine(model, X, *, epochs, batch_size, lr):
    """The options of `fit` for Adam with a learning rate that falls to 0 on a cosine."""
    optimizer = Adam(model.parameters(), lr=lr)
    n_steps = epochs * math.ceil(len(X) / batch_size)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    return dict(optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=batch_size)


def simclr_encoder(X, sizes, *, epochs, rng):
    """An encoder of digits, trained by SimCLR without labels (see demos/simclr.py)."""
    encoder = mlp_encoder(*sizes, rng=rng)
    head = projection_head(sizes[-1], 64, rng=rng)
    options = adam_on_cosine(Sequential(encoder, head), X, epochs=epochs, batch_size=256, lr=3e-3)
    train_simclr(encoder, head, X, view=VIEW, temperature=1.0, rng=rng, **options)
    return encoder
