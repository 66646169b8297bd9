"""What is hidden and how well it is predicted: edges of a graph, tokens of a chain."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("hidden", "10.3.1 Predicting what is hidden: edges, and tokens of a chain", (
    Exercise(
        name="mask_edges",
        target="tinyml.selfsupervised.masking:mask_edges",
        level=2, minutes=20,
        after=("mask_input",),
        task="Hide k edges of a graph, and draw as many different pairs of nodes without an edge",
        tests=laws_of(
            "masking",
            "test_edges_are_visible_or_hidden_and_non_edges_are_no_edges",
            "test_all_sets_of_edges_and_of_non_edges_are_equally_likely",
            "test_too_few_pairs_without_an_edge_are_refused",
            "test_rng_is_the_only_source_of_randomness[mask_edges]"),
        hints=("The graph is small: list all pairs i < j without an edge, then draw k of them.",
               "np.triu(~adjacency(edges, n_nodes), 1) is True at the pairs i < j without an "
               "edge, np.argwhere makes rows (i, j) of them. Raise a ValueError if there are "
               "fewer than k. Draw k edges and k pairs without replacement.",
               "pairs = np.argwhere(np.triu(..., 1)); if len(pairs) < k: raise ValueError(...); "
               "hide = _random_orders(len(edges), rng) < k, boolean; return edges[~hide], "
               "edges[hide], and pairs[rng.permutation(...)[:k]]"),
        also=("Visible and hidden edges keep the order of edges; a non-edge is (i, j) with i < "
              "j.",
              "If there are fewer than k pairs without an edge, raise a ValueError."),
        mistakes=(
            Mistake("without_edge = ~adjacency(edges, n_nodes)\n",
                    "without_edge = np.ones((n_nodes, n_nodes), bool)\n"
                    "    without_edge[tuple(edges.T)] = False\n",
                    "Edges have no direction: where (j, i) is an edge, (i, j) is one, too."),
            Mistake("np.triu(without_edge, 1)", "without_edge",
                    "A pair must not be drawn twice, as (i, j) and (j, i): take the part above "
                    "the diagonal."),
            Mistake("np.triu(without_edge, 1)", "np.triu(without_edge)",
                    "A node and itself are not a pair: leave out the diagonal, np.triu(..., 1)."),
            Mistake("np.triu(without_edge, 1)", "np.triu(np.ones_like(without_edge), 1)",
                    "Non-edges are pairs without an edge, hidden or visible: yours are any "
                    "pairs."),
            Mistake("edges[~hide], edges[hide]", "edges[hide], edges[~hide]",
                    "Visible edges come first, then the hidden ones: yours are the other "
                    "way round."),
            Mistake("rng.permutation(len(pairs))[:k]", "rng.integers(0, max(len(pairs), 1), k)",
                    "Independent draws may give one pair twice: draw without replacement."),
            Mistake("    if len(pairs) < k:", "    if False:",
                    "If there are fewer than k pairs without an edge, raise a ValueError: "
                    "yours returns fewer."),
            Mistake("    hide = _random_orders(len(edges), rng) < k\n",
                    "    edges = edges[rng.permutation(len(edges))]\n"
                    "    hide = np.arange(len(edges)) < k\n",
                    "Visible and hidden edges stay in the order of edges: yours come in a "
                    "random one."),
            Mistake("    hide = _random_orders(len(edges), rng) < k\n",
                    "    hide = _random_orders(len(edges), rng) < k\n"
                    "    pairs = np.argwhere(np.triu(~adjacency(edges[~hide], n_nodes), 1))\n",
                    "A hidden edge is an edge as well: draw non-edges from the pairs that "
                    "are neither visible nor hidden."),
            Mistake("rng.permutation(len(pairs))[:k]", "np.arange(k)",
                    "You always take the first pairs: draw the non-edges at random."),
            Mistake("int(len(edges) * mask_ratio)", "round(len(edges) * mask_ratio)",
                    "int(m mask_ratio) rounds down."))),
    Exercise(
        name="auc",
        target="tinyml.selfsupervised.masked_edges:auc",
        level=1, minutes=10,
        task="Compute the area under the ROC curve: how often a positive scores above a negative",
        tests=laws_of(
            "masked_edges",
            "test_the_area_is_that_of_mann_and_whitney"),
        hints=("Compare every positive with every negative. A tie counts one half.",
               "positive[:, None] has the shape (n, 1), and compared with negative, (m,), it "
               "gives (n, m).",
               "wins = positive[:, None] > negative; ties likewise with ==; return "
               "float(np.mean(...)) of both"),
        mistakes=(
            Mistake("wins + ties / 2", "wins + ties",
                    "A tie counts one half: yours count as wins."),
            Mistake("wins + ties / 2", "wins",
                    "A tie counts one half: yours count as losses."),
            Mistake("wins + ties / 2", "~wins + ties / 2 - ties",
                    "A positive should score above a negative: yours counts how often it "
                    "scores below."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.sum(wins + ties / 2) / len(positive) ** 2)",
                    "The mean is over all n m pairs: divide by n m."),
            Mistake("float(np.mean(wins + ties / 2))", "float(np.sum(wins + ties / 2))",
                    "The area is a fraction of the pairs: divide by their number, n m."),
            Mistake("float(np.mean(wins + ties / 2))", "2 * float(np.mean(wins + ties / 2)) - 1",
                    "That is the Gini coefficient, 0 for guessing: the area for guessing is "
                    "1/2."),
            Mistake("positive > negative, positive == negative",
                    "positive >= negative, positive == negative",
                    "A tie counts as a half: with >= it counts one and a half."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float((np.mean(positive > 0) + np.mean(negative <= 0)) / 2)",
                    "This is an accuracy at the threshold 0; the AUC compares positives "
                    "with negatives, at no threshold."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.sum(wins + ties / 2) / (len(positive) + len(negative)))",
                    "The mean is over all n m pairs: divide by n m, not by n + m."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.sum(wins + ties / 2) / len(negative) ** 2)",
                    "The mean is over all n m pairs: divide by n m."),
            Mistake("    wins, ties = positive > negative, positive == negative\n",
                    "    n = min(len(positive), len(negative))\n"
                    "    wins = positive[:n, 0] > negative[:n]\n"
                    "    ties = positive[:n, 0] == negative[:n]\n",
                    "Compare each positive with every negative, n m pairs: yours compares row "
                    "i with row i only."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean(wins + ties / 2) - 0.5 / len(negative))",
                    "A score does not tie with itself: a rank is 1 + the number of lower "
                    "scores + half of the other equal ones. Yours is one half too small."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean(wins + ties / 2) - 1 / len(negative))",
                    "Ranks start at 1: from their sum over the positives, subtract n (n + 1) "
                    "/ 2."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean(wins + ties / 2) + (len(positive) + 1) / (2 * "
                    "len(negative)))",
                    "The sum of the ranks counts pairs of positives too: subtract n (n + 1) / "
                    "2."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean(wins + ties / 2) + (len(positive) + 1) / (2 * "
                    "len(negative)) - (len(negative) + 1) / (2 * len(positive)))",
                    "Subtract n (n + 1) / 2 with n the number of positives: yours has that of "
                    "the negatives."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean((positive > negative.mean()) + (positive == "
                    "negative.mean()) / 2))",
                    "Compare each positive with every negative, not with the mean of the "
                    "negatives."),
            Mistake("wins + ties / 2", "positive - negative",
                    "Count how often a positive is higher: how much higher does not matter."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean(wins) / max(1 - np.mean(ties), 1e-300))",
                    "A tie counts one half: yours leaves out the pairs with ties."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean((positive.max() > negative) + (positive.max() == negative) "
                    "/ 2))",
                    "Every positive counts: yours compares only the highest one."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.floor(np.sum(wins + ties / 2)) / wins.size)",
                    "The sum has halves: do not round it."),
            Mistake("    wins, ties = positive >",
                    "    positive, negative = np.unique(positive)[:, None], "
                    "np.unique(negative)\n"
                    "    wins, ties = positive >",
                    "Scores that occur twice count twice: keep all of them."),
            Mistake("    wins, ties = positive > negative, positive == negative",
                    "    ties = np.isclose(positive, negative)\n"
                    "    wins = (positive > negative) & ~ties",
                    "A tie is a tie of equal scores: scores that lie close together are in an order."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.mean(np.searchsorted(negative, positive, side='left') "
                    "+ np.searchsorted(negative, positive, side='right')) / 2 / len(negative))",
                    "searchsorted needs sorted scores: sort the negatives first."),
            Mistake("float(np.mean(wins + ties / 2))",
                    "float(np.trapezoid([0, *((positive >= t).mean() for t in "
                    "np.unique(positive)[::-1]), 1], [0, *((negative >= t).mean() for t in "
                    "np.unique(positive)[::-1]), 1]))",
                    "A negative between two positives has its own step in the curve: take the scores "
                    "of the negatives as thresholds too."))),
    Exercise(
        name="propagation",
        target="tinyml.selfsupervised.masked_edges:propagation",
        level=1, minutes=10,
        task="Compute the matrix of a graph convolution: adjacency with loops, normalised on "
             "both sides",
        tests=laws_of(
            "masked_edges",
            "test_propagation_is_the_formula_in_a_slow_loop"),
        hints=("Three factors, but no matrix product: D is diagonal, so it scales rows and "
               "columns.",
               "With A + I from adjacency(edges, n_nodes) and np.eye, D_ii is the sum of row i, "
               "and P_ij = (A + I)_ij / sqrt(D_ii D_jj). The result is float32.",
               "A = adjacency(edges, n_nodes) + np.eye(n_nodes); d = A.sum(axis=1); np.outer(d, "
               "d) holds all d_i d_j; P = A / ...; return P.astype(np.float32)"),
        mistakes=(
            Mistake("P = A / np.sqrt(np.outer(d, d))",
                    "P = (A - np.eye(n_nodes)) / np.sqrt(np.outer(d, d))",
                    "The node itself belongs to its neighbourhood: A + I."),
            Mistake("adjacency(edges, n_nodes) + np.eye(n_nodes)",
                    "adjacency(edges, n_nodes) + 1e-30 * np.eye(n_nodes)",
                    "The node itself belongs to its neighbourhood: A + I."),
            Mistake("A / np.sqrt(np.outer(d, d))", "A / d[:, None]",
                    "D^(-1/2) stands on both sides: yours, D^-1 A, is a mean over "
                    "neighbours and not symmetric."),
            Mistake("np.sqrt(np.outer(d, d))", "np.outer(d, d)",
                    "The power is -1/2 on each side: the root is missing."),
            Mistake(".astype(np.float32)", "",
                    "The result must be float32."),
            Mistake("A / np.sqrt(np.outer(d, d))", "A * np.sqrt(np.outer(d, d))",
                    "The power is -1/2: divide by the root of d_i d_j, do not multiply by "
                    "it."),
            Mistake("d = A.sum(axis=1)", "d = np.maximum(A.sum(axis=1) - 1, 1)",
                    "D counts the loops too: D_ii is the row sum of A + I, 1 + the number "
                    "of neighbours."),
            Mistake("A / np.sqrt(np.outer(d, d))", "A / d",
                    "This makes the columns sum to 1; the symmetric form divides by the "
                    "root of both degrees."),
            Mistake("np.sqrt(np.outer(d, d))", "np.sqrt(d)",
                    "Divide by the roots of both degrees, of the row and of the column."),
            Mistake("+ np.eye(n_nodes)", "+ 2 * np.eye(n_nodes)",
                    "Each node counts itself once: A + I."),
            Mistake("A = adjacency(edges, n_nodes) + np.eye(n_nodes)",
                    "A = np.eye(n_nodes)\n"
                    "    A[edges[:, 0], edges[:, 1]] = 1",
                    "Edges have no direction: an edge (i, j) makes A_ij = A_ji = 1, as "
                    "adjacency does."),
            Mistake("P = A / np.sqrt(np.outer(d, d))",
                    "P = (A - np.eye(n_nodes)) / np.sqrt(np.outer(d, d)) + np.eye(n_nodes)",
                    "Add I before you normalise, so that the loops are divided by D_ii too: "
                    "yours adds it after."),
            Mistake("P = A / np.sqrt(np.outer(d, d))",
                    "d = np.maximum(d - 1, 1)\n"
                    "    P = (A - np.eye(n_nodes)) / np.sqrt(np.outer(d, d)) + "
                    "np.eye(n_nodes)",
                    "Add I before you normalise, so that the loops are divided by D_ii too: "
                    "yours adds it after."),
            Mistake("P = A / np.sqrt(np.outer(d, d))",
                    "d = np.maximum(d - 1, 1)\n"
                    "    P = (A - np.eye(n_nodes)) / np.sqrt(np.outer(d, d))",
                    "The node itself belongs to its neighbourhood: A + I."),
            Mistake("P = A / np.sqrt(np.outer(d, d))",
                    "P = np.eye(n_nodes) - A / np.sqrt(np.outer(d, d))",
                    "This is a Laplacian, I - P: the matrix of the convolution is P itself."),
            Mistake("A / np.sqrt(np.outer(d, d))", "A / d.max()",
                    "Each node has its own degree: divide A_ij by the root of D_ii D_jj, not "
                    "by the largest degree."),
            Mistake("A / np.sqrt(np.outer(d, d))", "A / np.sqrt(d)[:, None]",
                    "Divide by the roots of both degrees, of the row and of the column."),
            Mistake("P = A / np.sqrt(np.outer(d, d))", "P = A",
                    "The normalisation is missing: divide A_ij by the root of D_ii D_jj."),
            Mistake("d = A.sum(axis=1)", "d = A.sum(axis=1) + 1",
                    "The row sums of A + I count the node already: do not add 1 again."),
            Mistake("d = A.sum(axis=1)", "d = 1 + np.bincount(edges[:, 0], minlength=n_nodes)",
                    "An edge makes both of its nodes neighbours: it counts in both degrees."),
            Mistake("d = A.sum(axis=1)", "d = 1 + np.bincount(edges[:, 1], minlength=n_nodes)",
                    "An edge makes both of its nodes neighbours: it counts in both degrees."))),
    Exercise(
        name="messages",
        target="tinyml.selfsupervised.markov:_messages",
        level=3, minutes=30,
        after=("mask_tokens",),
        examples=150,
        task="Send messages along a chain from left to right, in states of a token and a count",
        tests=laws_of(
            "markov",
            "test_the_posterior_is_that_of_brute_force",
            "test_messages_sum_over_all_tokens_and_counts_before",
            "test_messages_sum_to_1_or_are_0",
            "test_long_sequences_do_not_underflow"),
        hints=("One step of a loop over t makes the message at t + 1 from that at t. A position "
               "that counts moves j on by one.",
               "product = plain_t(v) l_t(v, j) + counted_t(v) l_t(v, j-1), shape (N, V, n), "
               "where l_t(v, -1) = 0 and what would have j = n is dropped. Then sum over v with "
               "A(v, w): A.T @ product.",
               "messages = np.empty((N, T, V, n)), messages[:, 0] = start[:, None, :]; for t in "
               "range(T - 1): one_more is zeros with one_more[..., 1:] = messages[:, t, :, "
               ":-1]; product = plain[:, t, :, None] * messages[:, t] + the same with counted "
               "and one_more; messages[:, t + 1] is A.T @ product over its sum over axes (1, "
               "2), keepdims, or over 1e-300 if that is larger"),
        also=("The result is float64, and 0 / 0 must not happen: divide by the sum or by "
              "1e-300, whichever is larger.",),
        mistakes=(
            Mistake("A.T @ (plain", "A @ (plain",
                    "The sum is over the token before, sum_v A(v, w) (...)(v), which is A.T @ "
                    "(...): yours sums over the token after."),
            Mistake("one_more[..., 1:] = message[..., :-1]", "one_more[:] = message",
                    "A position that counts moves j on by one: l_t(v, j-1) goes to j."),
            Mistake("one_more[..., 1:] = message[..., :-1]",
                    "one_more[:] = np.roll(message, 1, axis=-1)",
                    "np.roll moves the largest count to j = 0: drop what would have j = n."),
            Mistake("np.maximum(total, 1e-300)", "total",
                    "Where all entries are 0 they stay 0: 0 / 0 is NaN, so do not divide "
                    "there."),
            Mistake("messages[:, 0] = start[:, None, :]", "messages[:, 0] = 1",
                    "The first message is start, the same for all v."),
            Mistake("message / np.maximum(total, 1e-300)", "message",
                    "Products of hundreds of probabilities underflow to 0: divide each "
                    "message by its sum."),
            Mistake("message.sum(axis=(1, 2), keepdims=True)",
                    "message.sum(axis=1, keepdims=True)",
                    "Divide a whole message by one number: a number for each count j changes "
                    "their ratios."),
            Mistake("messages[:, t + 1] = message",
                    "messages[:, t + 1] = plain[:, t + 1] * message",
                    "The message at t + 1 holds what comes before t + 1: the weight of t + 1 "
                    "enters in the next step."),
            Mistake("plain[:, t] * message + counted[:, t] * one_more",
                    "counted[:, t] * message + plain[:, t] * one_more",
                    "plain and counted are exchanged: a counted token raises j by one."),
            Mistake("plain[:, t] * message + counted[:, t] * one_more",
                    "plain[:, t + 1] * message + counted[:, t + 1] * one_more",
                    "The factors are those of position t, where the message is, not of t + "
                    "1."),
            Mistake("message.sum(axis=(1, 2), keepdims=True)",
                    "message.max(axis=(1, 2), keepdims=True)",
                    "The entries are scaled to sum to 1, not to have the maximum 1."),
            Mistake("one_more[..., 1:] = message[..., :-1]",
                    "one_more[..., :-1] = message[..., 1:]",
                    "A position that counts moves j on by one: l_t(v, j-1) goes to j."),
            Mistake("message.sum(axis=(1, 2), keepdims=True)", "message.sum()",
                    "Each sequence has its own scale c_t: yours is one for the whole batch."),
            Mistake("message.sum(axis=(1, 2), keepdims=True)",
                    "message.sum(axis=2, keepdims=True)",
                    "Divide a whole message by one number: a number for each token changes "
                    "their ratios."),
            Mistake("messages[:, 0] = start[:, None, :]",
                    "messages[:, 0] = start[:, None, :]\n"
                    "    messages[:, 0] /= np.maximum(messages[:, 0].sum(axis=(1, 2), "
                    "keepdims=True), 1e-300)",
                    "The first message is start itself: only the later ones are scaled."),
            Mistake("messages[:, 0] = start[:, None, :]", "messages[:, 0] = start[:, None, :] / V",
                    "The first message is start itself: do not divide it by the number of "
                    "tokens."),
            Mistake("message / np.maximum(total, 1e-300)", "message / (total + 1e-12)",
                    "A sum may be smaller than 1e-12, and the entries must still sum to 1: "
                    "divide by the sum, or by 1e-300 if that is larger."),
            Mistake("    messages = np.empty((N, T, V, start.shape[1]))",
                    "    messages = np.empty((N, T, V, start.shape[1]), np.float32)",
                    "The result is float64: float32 loses digits, and smaller numbers "
                    "underflow."),
            Mistake("        message = A.T @ (plain[:, t] * message + counted[:, t] * "
                    "one_more)",
                    "        message = plain[:, t] * (A.T @ message) + counted[:, t] * (A.T @ "
                    "one_more)",
                    "The weights belong to the token v before the step: multiply by them "
                    "first, then by A."),
            Mistake("plain[:, t] * message + counted[:, t] * one_more",
                    "plain[:, t] * message + counted[:, t] * message",
                    "A position that counts moves j on by one: l_t(v, j-1) goes to j."),
            Mistake("message.sum(axis=(1, 2), keepdims=True)",
                    "message.mean(axis=(1, 2), keepdims=True)",
                    "The entries are scaled to sum to 1, not to have the mean 1."))),
))
