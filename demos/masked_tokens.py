"""How well can a hidden word be predicted from its sentence, and does a transformer get there?

MATH5836 week 10, section 10.3.1; Devlin, Chang, Lee and Toutanova 2019 (BERT), section 3.1. The
language is a Markov chain: only a few tokens may follow each token. In every sequence 15 % of the
tokens are chosen. Of these 80 % become [MASK], 10 % a random token, 10 % stay. A small transformer
predicts the true ones, and is told nothing of the chain. We know the chain, so we can compute the
best possible guess: the exact posterior of each chosen token, given all that the model sees.

You will see the accuracy on new sequences during training, below the bound that no model can
exceed on average, and above simple guesses from one or two neighbours; how well each kind of
chosen token is restored; and some sequences with both guesses.

Predict first: which chosen tokens are hardest to restore, those under [MASK] or those that were
replaced by a random token? Does it help to see more than the two neighbours?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, start
from panels import curve, reference

from tinyml import functional as F
from tinyml.optim import Adam, LambdaLR, cosine_decay, linear_warmup
from tinyml.selfsupervised.markov import make_grammar, posterior, sample_sequences
from tinyml.selfsupervised.masked_tokens import TokenTransformer, masked_token_loss
from tinyml.selfsupervised.masking import mask_tokens
from tinyml.train import predict

demo = start(__file__, __doc__)
VOCAB = 6 if demo.quick else 12           # tokens; [MASK] is one more
SUCCESSORS = 2 if demo.quick else 3       # tokens that may follow each of them
LENGTH = 14 if demo.quick else 20         # of a sequence: 2 or 3 tokens are chosen
MODEL = dict(d_model=32, nhead=2 if demo.quick else 4, num_layers=1 if demo.quick else 2)
STEPS = 800 if demo.quick else 1600       # of training, each on new sequences
BATCH = 32
LR = 5e-3 if demo.quick else 4e-3         # of Adam, after a warm-up, on a cosine to 0
N_TEST = 800 if demo.quick else 3000      # new sequences to measure on
MEASURED = 8                              # times during training
REACHED = 0.85 if demo.quick else 0.95    # fraction of the best possible accuracy
EXAMPLES = 3                              # sequences in the figure

# %% Data: sequences of a random Markov language, corrupted as in BERT
A = make_grammar(VOCAB, n_successors=SUCCESSORS, rng=demo.rng)
tokens = sample_sequences(A, N_TEST, LENGTH, rng=demo.rng)
corrupted, chosen = mask_tokens(tokens, vocab_size=VOCAB, mask_id=VOCAB, rng=demo.rng)
true, seen = tokens[chosen], corrupted[chosen]


def hits(scores):
    """Whether the best-scored token is right, for each chosen token; scores are (N, T, V)."""
    return scores.argmax(axis=-1)[chosen] == true


# %% The best possible guess is the largest entry of the posterior: how often is it right?
p = posterior(corrupted, A, mask_id=VOCAB)
top = p.max(axis=-1)[chosen]
bound, best = top.mean(), hits(p).mean()
standard_error = np.sqrt((top * (1 - top)).mean() / len(top))
demo.record("best possible accuracy, computed", bound)
demo.claim("the best guess is right as often as computed (difference in standard errors)",
           abs(best - bound) / standard_error, at_most=4)

# %% Simple guesses: from no context, the token before, both neighbours; visible tokens are kept
more_tokens = sample_sequences(A, N_TEST, LENGTH, rng=demo.rng)
unigram = np.bincount(more_tokens.ravel()) / more_tokens.size
after = np.vstack([A, unigram])                             # after [MASK] comes any token
before = np.hstack([A, np.ones((VOCAB, 1))]).T              # and before it
padded = np.pad(corrupted, ((0, 0), (1, 1)), constant_values=VOCAB)
left = after[padded[:, :-2]]                                # (N, T, V)
right = before[padded[:, 2:]]
keep = 10 * (corrupted[..., None] == np.arange(VOCAB))
simple = {"no context": unigram + keep, "left neighbour": left + keep,
          "both neighbours": left * right + 1e-6 * left + keep}    # if they contradict: the left
simple = {name: hits(scores).mean() for name, scores in simple.items()}
for name, accuracy in simple.items():
    demo.record(f"accuracy from {name}", accuracy)
demo.claim("a guess from both neighbours is better than from one (gain)",
           simple["both neighbours"] - simple["left neighbour"], at_least=0.05)

# %% Model: two blocks of attention over embedded tokens and positions
model = TokenTransformer(VOCAB, LENGTH, **MODEL, rng=demo.rng)
optimizer = Adam(model.parameters(), lr=LR)
schedule = LambdaLR(optimizer, lambda t: linear_warmup(t, 50) * cosine_decay(t, STEPS))

# %% Training: new sequences in every step, corrupted anew
accuracies = [hits(predict(model, corrupted)).mean()]
for step in demo.progress(range(1, STEPS + 1), "steps"):
    batch = sample_sequences(A, BATCH, LENGTH, rng=demo.rng)
    optimizer.zero_grad()
    loss = masked_token_loss(model, batch, vocab_size=VOCAB, rng=demo.rng)
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % (STEPS // MEASURED) == 0:
        accuracies.append(hits(predict(model, corrupted)).mean())

# %% The transformer comes close to the best possible accuracy, and does not exceed it
reached = accuracies[-1]
demo.record("accuracy of the transformer", accuracies, "during training")
demo.claim("the transformer reaches most of the best possible accuracy (fraction)",
           reached / bound, at_least=REACHED)
demo.claim("the transformer does not exceed the best guess (lead on the same tokens)",
           reached - best,
           at_most=0.005)
demo.claim("the transformer beats the guess from one neighbour (lead)",
           reached - simple["left neighbour"],
           at_least=0.05)
if not demo.quick:
    demo.claim("the transformer beats every simple guess: it uses more than the neighbours (lead)",
               reached - max(simple.values()), above=0)

# %% Its cross-entropy stays above the entropy of the posterior
logits = predict(model, corrupted)
cross_entropy = F.cross_entropy(logits[chosen], true).item()
least = -np.log(p[chosen][np.arange(len(true)), true]).mean()
demo.claim("the transformer's cross-entropy exceeds the least possible one (excess in nats)",
           cross_entropy - least, above=0)

# %% A token under [MASK] is known to be chosen; a random token misleads, a kept one does not
kinds = {"[MASK]": seen == VOCAB, "a random\ntoken": (seen != VOCAB) & (seen != true),
         "the token\nitself": seen == true}
by_kind = {}
for name, kind in kinds.items():
    by_kind[name] = [hits(p)[kind].mean(), hits(logits)[kind].mean()]
    demo.record(f"accuracy where it became {' '.join(name.split())}", by_kind[name],
                "best possible, transformer")


# %% Figure
def draw_accuracy(ax):
    steps = np.arange(MEASURED + 1) * (STEPS // MEASURED)
    curve(ax, steps, 100 * np.array(accuracies), color=BLUE, marker="o")
    for name, accuracy in [*simple.items(), ("best possible, computed", bound)]:
        reference(ax, 100 * accuracy, name, x=0.6)
    ax.set(xlabel=f"training steps, {BATCH} sequences each", ylabel="chosen tokens restored, %",
           ylim=(0, 105), title="Accuracy of the transformer on new sequences")


def draw_kinds(ax):
    styles = ("best possible", "white", "//"), ("transformer", BLUE, "")
    for i, (text, color, hatch) in enumerate(styles):
        heights = [100 * pair[i] for pair in by_kind.values()]
        drawn = ax.bar(np.arange(3) + 0.4 * i - 0.2, heights, 0.36, color=color, hatch=hatch,
                       label=text, edgecolor=BLACK)
        ax.bar_label(drawn, fmt="%.0f", padding=2)
    ax.set_xticks(range(3), list(by_kind))
    ax.set(ylim=(0, 118), yticks=range(0, 101, 20), ylabel="restored, %",
           title="Accuracy by kind of corruption")
    ax.legend(loc="upper left", ncols=2, fontsize=10)


def draw_sequences(ax, rows):
    """Four lines of letters for each: true, seen, and both guesses at chosen positions."""
    letters = np.array([*"ABCDEFGHIJKL"[:VOCAB], "?"])
    names = ["true", "seen", "best", "model"]
    for k, row in enumerate(rows):
        lines = tokens[row], corrupted[row], p[row].argmax(axis=-1), logits[row].argmax(axis=-1)
        for i, line in enumerate(lines):
            for t in range(LENGTH) if i < 2 else np.flatnonzero(chosen[row]):
                color = GREEN if line[t] == tokens[row, t] else VERMILLION
                style = dict(color=color, weight="bold") if chosen[row, t] else dict(color="0.4")
                ax.text(t, 5 * k + i, letters[line[t]], ha="center", va="center", **style)
    ax.set_yticks([5 * k + i for k in range(len(rows)) for i in range(4)], names * len(rows))
    ax.set(xlim=(-0.7, LENGTH), ylim=(5 * len(rows) - 1.3, -0.7), xticks=[],
           title="Sequences; ? is [MASK], green is right")
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


figure, axes = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.2, 0.9, 1.2])
figure.suptitle(f"A transformer restores {100 * reached:.0f} % of the chosen tokens; "
                f"the best possible is {100 * bound:.0f} %")
draw_accuracy(axes[0])
draw_kinds(axes[1])
has_random = (chosen & (corrupted != tokens) & (corrupted != VOCAB)).any(axis=1)
with_one, without = np.flatnonzero(has_random), np.flatnonzero(~has_random)
draw_sequences(axes[2], [*with_one[:1], *without[:EXAMPLES - 1]])
demo.finish(figure)
