"""How much of a hidden word can be known from the rest of the sentence, and does a transformer find it all?

MATH5836 week 10, section 10.3.1; Devlin, Chang, Lee and Toutanova 2019 (BERT), section 3.1. The language is a
Markov chain: after each token only a few others may come. In every sequence 15 % of the tokens are chosen; of
these 80 % become [MASK], 10 % another token, 10 % stay. A small transformer, which is told nothing of the
language, is asked for the true ones. Since the language is known to us, so is the best possible answer: the
exact posterior of each chosen token, given all that the model sees, by messages along the chain.

You will see accuracy on fresh sequences during training, below the bound that no model can exceed on average,
and above what is known without context or from one neighbour; how well each kind of chosen token is restored;
and some sequences with the guesses of both.

Predict first: which of the chosen tokens are hardest, those under [MASK] or those that were replaced by a
random one? Does it help to see more than the two neighbours?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

from tinyml import functional as F
from tinyml.optim import Adam, LambdaLR, cosine_decay, linear_warmup
from tinyml.selfsupervised.markov import make_grammar, posterior, sample_sequences
from tinyml.selfsupervised.masked_tokens import TokenTransformer, masked_token_loss
from tinyml.selfsupervised.masking import mask_tokens
from tinyml.train import predict

demo = start(__file__, __doc__)
RUNS = 1 if demo.quick else 2             # each with its own language
VOCAB = 6 if demo.quick else 12           # tokens; [MASK] is one more
SUCCESSORS = 2 if demo.quick else 3       # what may follow each of them
LENGTH = 14 if demo.quick else 20         # of a sequence: 2 or 3 tokens are chosen
MODEL = dict(d_model=32, nhead=2, num_layers=1) if demo.quick else dict(d_model=32, nhead=4, num_layers=2)
STEPS = 800 if demo.quick else 1600       # of training, each on sequences never seen before
BATCH = 32
RATE = 5e-3 if demo.quick else 4e-3       # of Adam, after a warm-up, on a cosine to 0
N_TEST = 800 if demo.quick else 3000     # fresh sequences to measure on
MEASURED = 8                              # times during training
REACHED = 0.85 if demo.quick else 0.95     # share of the best possible accuracy
EXAMPLES = 3                              # sequences in the figure
FATES = ("[MASK]", "random", "kept")


# %% What is known without a model
def neighbours(corrupted, transition, unigram):
    """p(token) from nothing; from the token before; from those on both sides. What is visible is believed."""
    A = np.vstack([transition, unigram])                                    # after [MASK]: anything
    back = np.hstack([transition, np.ones((VOCAB, 1))]).T                   # before [MASK]: anything
    padded = np.pad(corrupted, ((0, 0), (1, 1)), constant_values=VOCAB)
    left, right = A[padded[:, :-2]], back[padded[:, 2:]]                    # (N, T, V)
    seen = (corrupted[..., None] == np.arange(VOCAB)) * 10.0
    both = left * right + 1e-6 * left                                       # two that fit nothing: the left
    return {"no context": unigram + seen, "left neighbour": left + seen, "both neighbours": both + seen}


# %% Experiment
def train(model, transition, rng, measure):
    """Train the model to restore what was chosen; return what was measured on the way."""
    optimizer = Adam(model.parameters(), lr=RATE)
    schedule = LambdaLR(optimizer, lambda t: linear_warmup(t, 50) * cosine_decay(t, STEPS))
    measured = [measure(model)]
    for step in demo.progress(range(1, STEPS + 1), "steps"):
        tokens = sample_sequences(transition, BATCH, LENGTH, rng=rng)
        optimizer.zero_grad()
        loss = masked_token_loss(model, tokens, vocab_size=VOCAB, rng=rng)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (STEPS // MEASURED) == 0:
            measured.append(measure(model))
    return measured


class Findings(NamedTuple):
    curve: np.ndarray       # (MEASURED + 1,), accuracy on the chosen tokens of fresh sequences
    bound: float            # the best possible: mean over these tokens of the largest posterior
    best: float             # how often the guesses of the posterior are right, on the same tokens
    known: np.ndarray       # (3,), accuracy of `neighbours`
    by_fate: np.ndarray     # (2, 3), of the posterior and of the model, for each of FATES
    excess: float           # cross-entropy of the model minus that of the posterior, in nats
    luck: float             # (best - bound) / standard error


def run(rng):
    transition = make_grammar(VOCAB, n_successors=SUCCESSORS, rng=rng)
    tokens = sample_sequences(transition, N_TEST, LENGTH, rng=rng)
    corrupted, chosen = mask_tokens(tokens, vocab_size=VOCAB, mask_id=VOCAB, rng=rng)
    p = posterior(corrupted, transition, mask_id=VOCAB)
    top, true = p.max(axis=-1)[chosen], tokens[chosen]
    hits = lambda guess: guess.argmax(axis=-1)[chosen] == true
    model = TokenTransformer(VOCAB, LENGTH, **MODEL, rng=rng)
    curve = train(model, transition, rng, lambda model: hits(predict(model, corrupted)).mean())

    logits = predict(model, corrupted)
    unigram = np.bincount(sample_sequences(transition, N_TEST, LENGTH, rng=rng).ravel()) / (N_TEST * LENGTH)
    known = [hits(q).mean() for q in neighbours(corrupted, transition, unigram).values()]
    seen = corrupted[chosen]
    fate = np.where(seen == VOCAB, 0, np.where(seen != true, 1, 2))
    entropy = -np.log(p[chosen][np.arange(len(true)), true]).mean()
    pictures.append((tokens, corrupted, chosen, p, F.softmax(logits).data))
    return Findings(curve, top.mean(), hits(p).mean(), known,
                    [[hits(q)[fate == f].mean() for f in range(3)] for q in (p, logits)],
                    F.cross_entropy(logits[chosen], true).item() - entropy,
                    (hits(p) - top).sum() / np.sqrt((top * (1 - top)).sum()))


pictures = []
findings = Findings(*map(np.array, zip(*[run(rng) for rng in demo.rng.spawn(RUNS)])))
reached = findings.curve[:, -1] / findings.bound


# %% Figure
def draw_curve(ax):
    steps = np.arange(MEASURED + 1) * (STEPS // MEASURED)
    band(ax, steps, 100 * findings.curve, color=BLUE, marker="o")
    ax.annotate("transformer", (steps[1], 100 * findings.curve[:, 1].mean()), (8, -12),
                textcoords="offset points", color=BLUE)
    lines = {"best possible, computed": (findings.bound, BLACK, "--")}
    lines |= {text: (values, color, ":") for text, values, color in
              zip(("no context", "left neighbour", "both neighbours"), findings.known.T,
                  (VERMILLION, ORANGE, PURPLE))}
    for text, (values, color, style) in lines.items():
        ax.axhline(100 * values.mean(), color=color, linestyle=style, lw=1.8)
        below = text == "both neighbours"    # the curve ends above it
        ax.annotate(text, (steps[-1], 100 * values.mean()), (0, -5 if below else 4), ha="right", color=color,
                    textcoords="offset points", va="top" if below else "bottom")
    ax.set(xlabel=f"steps of training, {BATCH} sequences each", ylabel="chosen tokens restored, %",
           ylim=(0, 105), title="Accuracy on fresh sequences")


def draw_fates(ax):
    for i, (text, color) in enumerate((("best possible", BLACK), ("transformer", BLUE))):
        shares = 100 * findings.by_fate[:, i].mean(axis=0)
        bars = ax.bar(np.arange(3) + 0.4 * i - 0.2, shares, 0.36, label=text, edgecolor=color, lw=1.5,
                      color=color if i else "white", hatch="" if i else "//")
        ax.bar_label(bars, fmt="%.0f", padding=2)
    ax.set(xticks=range(3), xticklabels=["[MASK]", "another\ntoken", "itself"], ylim=(0, 118),
           xlabel="what stands where the token was", ylabel="restored, %", title="By what it became")
    ax.legend(loc="upper left", ncols=2, fontsize=10)


def draw_sequence(ax, tokens, corrupted, chosen, p, q):
    """Four rows of letters: the truth, what is seen, and two guesses with their probabilities."""
    letter = lambda v: "?" if v == VOCAB else chr(ord("A") + v)
    for t in range(LENGTH):
        ax.text(t, 0, letter(tokens[t]), ha="center", va="center", color="0.35")
        hidden = corrupted[t] == VOCAB
        ax.text(t, 1, letter(corrupted[t]), ha="center", va="center", weight="bold" if chosen[t] else "normal",
                color="white" if hidden else VERMILLION if corrupted[t] != tokens[t] else BLACK,
                bbox=dict(boxstyle="square,pad=0.15", color="black") if hidden else None)
        for row, guess in ((2, p[t]), (3, q[t])) if chosen[t] else ():
            v = guess.argmax()
            ax.text(t, row, f"{letter(v)}", ha="center", va="center", weight="bold",
                    color=GREEN if v == tokens[t] else VERMILLION)
            ax.text(t + 0.28, row, f"{100 * guess[v]:.0f}", ha="left", va="center", size=8, color="0.4")
    ax.set(xlim=(-0.7, LENGTH), ylim=(3.6, -0.6), xticks=[], yticks=range(4),
           yticklabels=["true", "seen", "best guess", "transformer"])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def examples(tokens, corrupted, chosen, p, q):
    """Sequences with a token replaced by another one, then those without; as they come."""
    replaced = (chosen & (corrupted != tokens) & (corrupted != VOCAB)).any(axis=1)
    return np.concatenate([np.flatnonzero(replaced)[:1], np.flatnonzero(~replaced)])[:EXAMPLES]


figure = plt.figure(figsize=(15, 8))
figure.suptitle("A transformer that was never told the grammar restores "
                f"{100 * findings.curve[:, -1].mean():.0f} % of the chosen tokens; "
                f"the best possible is {100 * findings.bound.mean():.0f} %")
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
upper, lower = left.subplots(2, 1, height_ratios=[1.5, 1])
draw_curve(upper)
draw_fates(lower)
right.suptitle("Letters are tokens; a guess is green where right, with its probability in %", x=0.02, ha="left",
               size=12, weight="normal")
for ax, i in zip(right.subplots(EXAMPLES, 1), examples(*pictures[0])):
    draw_sequence(ax, *(part[i] for part in pictures[0]))

# %% Claims
demo.record("accuracy of the transformer", findings.curve[:, -1], "one language each")
demo.record("best possible accuracy, computed", findings.bound)
demo.record("how often the best guess was right", findings.best)
for text, values in zip(("no context", "left neighbour", "both neighbours"), findings.known.T):
    demo.record(f"accuracy from {text}", values)
for i, fate in enumerate(FATES):
    demo.record(f"accuracy where {fate}", findings.by_fate[:, :, i].mean(axis=0), "best possible, transformer")
demo.record("cross-entropy above that of the posterior", findings.excess, "nats")
demo.claim("the transformer reaches its share of the best possible accuracy (least share)", reached.min(),
           at_least=REACHED)
demo.claim("and does not exceed what is computed to be best (largest lead on the same tokens)",
           (findings.curve[:, -1] - findings.best).max(), at_most=0.005)
demo.claim("best guesses are right as often as computed (largest difference in standard errors)",
           np.abs(findings.luck).max(), at_most=4)
demo.claim("a neighbour on each side tells more than one (least gain)",
           (findings.known[:, 2] - findings.known[:, 1]).min(), at_least=0.05)
demo.claim("the transformer beats one (least lead)", (findings.curve[:, -1] - findings.known[:, 1]).min(),
           at_least=0.05)
if not demo.quick:
    demo.claim("and both, it uses more than the neighbours (least lead over the best of the simple guesses)",
               (findings.curve[:, -1] - findings.known.max(axis=1)).min(), above=0)
demo.claim("its cross-entropy stays above that of the posterior (least excess in nats)", findings.excess.min(),
           above=0)
demo.finish(figure)
