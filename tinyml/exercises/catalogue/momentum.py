"""Contrastive learning with two networks, one of which follows slowly: momentum, a queue of keys, BYOL."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

SSL = "tinyml.selfsupervised"

CHAPTER = Chapter("momentum", "10.3.2 A second network that follows slowly: MoCo and BYOL", (
    Exercise(
        name="update_momentum", target=f"{SSL}.moco:update_momentum", level=2, minutes=15, keep=4,
        task="Let a slow copy of a model follow it, parameters and buffers",
        tests=laws_of("moco", "test_the_update_is_the_convex_combination_of_parameters_and_buffers",
                      "test_momentum_0_copies_and_1_freezes_to_the_bit_integers_too",
                      "test_a_still_model_is_approached_geometrically",
                      "test_the_update_writes_into_no_array_that_a_graph_may_need"),
        hints=("old and new are dicts of copies of all arrays, parameters and buffers. Make a third one, and load "
               "it.",
               "Arrays of floats (dtype.kind is \"f\") become m old + (1 - m) new, in this form (old + (1 - m) "
               "(new - old) rounds where m = 0); all others are taken from new. With m = 1 nothing happens, not "
               "even to integers.",
               "if momentum < 1: slow.load_state_dict({name: ... if old[name].dtype.kind == \"f\" else new[name] "
               "for name in old})"),
        mistakes=(
            Mistake("momentum * old[name] + (1 - momentum) * new[name]",
                    "(1 - momentum) * old[name] + momentum * new[name]",
                    "m is the weight of the old, slow values: yours are exchanged, and the slow model is "
                    "fast."),
            Mistake('if old[name].dtype.kind == "f" else new[name]', 'if old[name].dtype.kind == "f" else old[name]',
                    "Integers and booleans are copied from fast: yours keep their old values."),
            Mistake("momentum * old[name] + (1 - momentum) * new[name]\n",
                    "momentum * old[name] + (1 - momentum) * new[name] if name in dict(slow.named_parameters()) "
                    "else "
                    "new[name]\n",
                    "Buffers of floats are averaged as well, like parameters: yours are copied."),
            Mistake("(1 - momentum) * new[name]", "new[name]",
                    "The weights m and 1 - m sum to 1: yours let the arrays grow with each step."),
            Mistake("if momentum < 1:", "if True:",
                    "With m = 1 nothing changes at all, integers included."),
            Mistake('new[name]\n                              if old[name].dtype.kind == "f" else new[name] for',
                    "new[name] for",
                    "Integers and booleans cannot be averaged: copy them from fast."),
            Mistake('{name: momentum * old[name] + (1 - momentum) * new[name]\n'
                    '                              if old[name].dtype.kind == "f" else new[name] for name in old}',
                    "{**old, **{name: momentum * old[name] + (1 - momentum) * new[name] for name, _ in "
                    "slow.named_parameters()}}",
                    "Buffers follow too, such as the running statistics of a batch norm: yours moves "
                    "parameters only."))),
    Exercise(
        name="key_queue", target=f"{SSL}.moco:KeyQueue.push", level=2, minutes=20, keep=3, view="keys",
        task="Put keys into a ring of K places, each one beyond K over the oldest",
        tests=laws_of("moco", "test_the_queue_is_a_deque_of_bounded_length_also_for_batches_beyond_it",
                      "test_the_queue_keeps_copies"),
        hints=("self.next is where the next key goes. Which places do B keys get, when the ring is closed?",
               "Key i goes to (self.next + i) mod K. If B > K only the last K of them are written, or one "
               "place would get two. Then self.next moves on by B, mod K, and self.filled grows, up to K.",
               "places = (self.next + np.arange(len(keys))[-self.size:]) % self.size; write keys[-self.size:] "
               "to self.ring[places] and ids[-self.size:] to self.ids[places]; self.next = (self.next + ...) % "
               "self.size; self.filled = min(..., self.size)"),
        mistakes=(
            Mistake("(self.next + len(keys)) % self.size", "(self.next + min(len(keys), self.size)) % self.size",
                    "Where B > K, next goes around as well, as if the keys came one by one: it moves on by B, not "
                    "by K."),
            Mistake("(self.next + len(keys)) % self.size", "self.next + len(keys)",
                    "next is a place, 0..K-1: take it mod K."),
            Mistake("min(self.filled + len(keys), self.size)", "min(len(keys), self.size)",
                    "filled grows: the keys of earlier batches are still there."),
            Mistake("self.ring[places], self.ids[places] =", "if len(keys) == self.size and self.next == 0: "
                    "self.ring = "
                    "keys\n        self.ring[places], self.ids[places] =",
                    "The queue keeps copies: an array of the caller may change later."),
            Mistake("(self.next + len(keys)) % self.size", "(self.next + 1) % self.size",
                    "A batch takes len(keys) places, not one: the next key goes behind all of them."),
            Mistake("np.arange(len(keys))[-self.size:]", "np.arange(min(len(keys), self.size))",
                    "Of a batch larger than the ring the last keys stay, at the places that they would have "
                    "had: yours are shifted."),
            Mistake("keys[-self.size:], ids[-self.size:]", "keys[:self.size], ids[:self.size]",
                    "Of a batch larger than the ring the last K keys stay: yours keeps the first."),
            Mistake("min(self.filled + len(keys), self.size)", "self.filled + len(keys)",
                    "No more than K places can be filled."),
            Mistake("self.ring[places], self.ids[places] = keys[-self.size:], ids[-self.size:]",
                    "self.ring[places] = keys[-self.size:]",
                    "The numbers of the images must be kept as well: the ids are never written."),
            Mistake("(self.next + np.arange(len(keys))[-self.size:]) % self.size",
                    "np.minimum(self.next + np.arange(len(keys))[-self.size:], self.size - 1)",
                    "The ring is closed: after the last place comes the first, so take places mod K."))),
    Exercise(
        name="moco_loss", target=f"{SSL}.moco:MoCo.loss", level=2, minutes=20, view="queue.keys",
        after=("info_nce", "update_momentum", "key_queue"),
        task="Take one batch through MoCo: move the key network, make keys, compare, and queue them",
        tests=laws_of("moco", "test_a_batch_goes_through_the_algorithm_of_the_paper",
                      "test_no_gradient_reaches_a_key_and_the_keys_still_move",
                      "test_a_frozen_key_encoder_stays_as_it_was",
                      "test_without_other_images_there_is_nothing_to_learn",
                      "test_query_and_key_see_a_view_each_of_every_image_and_both_networks_are_in_one_mode"),
        hints=("Four steps in the order of the docstring. Which of them must know nothing of this batch?",
               "update_momentum(self.key, self.query, momentum=self.momentum), the key network in the mode of "
               "the query network (self.key.train(self.query.training)). Keys (B, D) are made without a graph. "
               "Negatives are self.queue.keys(without=ids), of shape (0, 0) at first: reshape them to (-1, D).",
               "with no_grad(): keys = self.key(Tensor(x)).data; negatives = "
               "self.queue.keys(without=ids).reshape(-1, keys.shape[1]); loss = info_nce(queries, keys, negatives, "
               "temperature=...); self.queue.push(keys, ids) after it; return loss"),
        mistakes=(
            Mistake("self.queue.keys(without=ids)", "self.queue.keys()",
                    "An earlier view of the same image is no negative: leave out the ids of this batch."),
            Mistake("negatives = self.queue.keys(without=ids).reshape(-1, keys.shape[1])\n"
                    "        loss = info_nce(queries, keys, negatives, temperature=self.temperature)\n"
                    "        self.queue.push(keys, ids)\n",
                    "self.queue.push(keys, ids)\n"
                    "        negatives = self.queue.keys(without=ids).reshape(-1, keys.shape[1])\n"
                    "        loss = info_nce(queries, keys, negatives, temperature=self.temperature)\n",
                    "The keys join the queue after the loss: yours push out old negatives before they were "
                    "used."),
            Mistake("momentum=self.momentum)", "momentum=1 - self.momentum)",
                    "momentum is the weight of the slow network itself: hand on self.momentum."),
            Mistake("keys = self.key(Tensor(x)).data", "keys = self.query(Tensor(x)).data",
                    "Keys come from the slow network self.key, not from the query network."),
            Mistake("        update_momentum(self.key.train(self.query.training), self.query, "
                    "momentum=self.momentum)\n"
                    "        with no_grad():\n            keys = self.key(Tensor(x)).data\n",
                    "        with no_grad():\n            keys = "
                    "self.key.train(self.query.training)(Tensor(x)).data\n"
                    "        update_momentum(self.key, self.query, momentum=self.momentum)\n",
                    "The key network moves first, then it makes the keys: yours are those of the old one."),
            Mistake("keys, negatives, temp", "keys, negatives if len(negatives) else None, temp",
                    "With no negatives in the queue the loss is 0: None takes the other keys of the batch."),
            Mistake("self.queue.push(keys, ids)", "self.queue.push(queries.data, ids)",
                    "What joins the queue are the keys of the slow network, not the queries."),
            Mistake("info_nce(queries, keys, negatives, ", "info_nce(queries, keys, ",
                    "The negatives are those of the queue: without the third argument info_nce takes the other "
                    "keys of the batch."),
            Mistake("self.queue.push(keys, ids)", "pass",
                    "The keys of the batch must join the queue: yours stays empty."),
            Mistake("self.key.train(self.query.training)", "self.key",
                    "The key network must be in the mode of the query network: .train(self.query.training)."))),
    Exercise(
        name="byol_loss", target=f"{SSL}.byol:byol_loss", level=1, minutes=5, keep=2, after=("alignment",),
        task="Give BYOL's loss: 2 minus twice the mean cosine",
        tests=laws_of("byol", "test_the_loss_is_the_squared_distance_of_the_directions",
                      "test_the_gradient_is_that_of_the_loss_and_orthogonal_to_each_row",
                      "test_zero_vectors_have_a_finite_loss_and_gradient"),
        hints=("The squared distance of two unit vectors is 2 - 2 cos.",
               "F.cosine_similarity(p, z) gives B cosines, ops.mean their mean.",
               "return 2 - 2 * ops.mean(...), of the cosines"),
        mistakes=(
            Mistake("2 - 2 * ops.mean(", "2 - ops.mean(", "||u - v||^2 = 2 - 2 u.v: the cosine counts twice."),
            Mistake("2 - 2 * ops.mean(", "2 - 2 * ops.sum(", "The loss is a mean over the rows, not a sum."),
            Mistake("2 - 2 * ops.mean(", "-2 * ops.mean(",
                    "The loss of equal directions is 0: the constant 2 is missing."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(p, "
                    "z))", "ops.mean(ops.sum((p - z) * (p - z), axis=1))",
                    "Lengths must not matter: it is the distance of the directions, not of the vectors."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(p, z))",
                    "ops.mean(ops.sum((F.normalize(p) - F.normalize(z)) ** 2, axis=1))",
                    "A zero vector has cos = 0 with everything, so its loss is 2, and your distance gives 1: "
                    "use cosines."),
            Mistake("F.cosine_similarity(p, z)", "F.cosine_similarity(p.reshape(1, -1), z.reshape(1, -1))",
                    "Each row has a cosine of its own: yours is one of both arrays as a whole."),
            Mistake("F.cosine_similarity(p, z)", "F.cosine_similarity(p, z.detach())",
                    "Here gradients flow to both; who wants none passes an array."))),
    Exercise(
        name="target_momentum", target=f"{SSL}.byol:target_momentum", level=1, minutes=10, keep=3,
        task="Let tau rise from base to 1 on half a cosine",
        tests=laws_of("byol", "test_tau_rises_from_the_base_to_one_like_half_a_cosine"),
        hints=("At k = 0 the cosine is 1, at k = K it is -1. And beyond K?",
               "(cos(pi k / K) + 1) / 2 falls from 1 to 0; k / K is cut off at 1, so that tau stays 1.",
               "return 1 - (1 - base) * (math.cos(math.pi * min(step / n_steps, ...)) + 1) / 2"),
        mistakes=(
            Mistake("min(step / n_steps, 1)", "step / n_steps",
                    "Beyond step K tau stays 1: yours comes down again, cut k / K off at 1."),
            Mistake("step / n_steps", "step // n_steps",
                    "// is the whole part, 0 up to the last step: divide with /."),
            Mistake("1 - (1 - base) * (", "base + (1 - base) * (",
                    "It rises from base to 1: yours falls from 1 to base."),
            Mistake("(math.cos(math.pi * min(step / n_steps, 1)) + 1) / 2", "(1 - min(step / n_steps, 1))",
                    "This is a straight line: tau follows half a cosine, flat at both ends."),
            Mistake("(math.cos(math.pi * min(step / n_steps, 1)) + 1) / 2",
                    "math.cos(math.pi / 2 * min(step / n_steps, 1))",
                    "This is a quarter of a cosine: it is (cos(pi k / K) + 1) / 2, over half a turn."),
            Mistake("(math.cos(math.pi * min(step / n_steps, 1)) + 1) / 2",
                    "(math.cos(math.pi * min(step / n_steps, 1)) + 1)",
                    "cos + 1 starts from 2: halve it."))),
    Exercise(
        name="spread", target=f"{SSL}.byol:spread", level=1, minutes=10, keep=2,
        task="Measure whether embeddings have collapsed: the mean deviation of the coordinates of their "
             "directions",
        tests=laws_of("byol", "test_spread_is_bounded_by_that_of_the_sphere_and_knows_no_length",
                      "test_on_the_sphere_the_spread_is_that_of_the_formula"),
        hints=("Directions first (F.normalize, which takes arrays and gives a Tensor), then the deviation of "
               "each coordinate.",
               "The standard deviation is over the n rows, axis 0, and gives D numbers; the result is their "
               "mean, a float.",
               "float(F.normalize(z).data.std(axis=...).mean())"),
        mistakes=(
            Mistake("std(axis=0)", "std(axis=1)",
                    "The deviation of a coordinate is over the embeddings, axis 0: yours compares the "
                    "coordinates of one."),
            Mistake("std(axis=0)", "std(axis=0, "
                                   "ddof=1)", "Divide by n, not by n - 1: of one embedding the spread is 0."),
            Mistake("F.normalize(z).data", "z", "Lengths must not matter: normalise the rows first."),
            Mistake(".mean())", ".sum())", "It is the mean over the coordinates, not their sum."),
            Mistake("F.normalize(z).data", "(z / np.linalg.norm(z, axis=1, keepdims=True))",
                    "A zero vector stays zero: divide by its length and it is 0 / 0, NaN."),
            Mistake(".std(axis=0).mean()", ".var(axis=0).mean() ** 0.5",
                    "It is a mean of deviations, not the root of a mean of variances: the root comes first."),
            Mistake("F.normalize(z).data.std(axis=0).mean()", "F.normalize(z).data.std()",
                    "Each coordinate has a mean and a deviation of its own, over axis 0: yours mixes them."),
            Mistake(".std(axis=0).mean()", ".var(axis=0).mean()", "Standard deviations, not variances: take "
                                                                  "the root."))),
))
