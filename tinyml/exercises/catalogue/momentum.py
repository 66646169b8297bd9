"""Contrastive learning with a second network that follows slowly: momentum, a queue, BYOL."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("momentum", "10.3.2 A second network that follows slowly: MoCo and BYOL", (
    Exercise(
        name="update_momentum",
        target="tinyml.selfsupervised.moco:update_momentum",
        level=2, minutes=15,
        assigns=("data",),
        task="Move the parameters and buffers of a slow copy towards those of a model",
        tests=laws_of(
            "moco",
            "test_the_update_is_the_convex_combination_of_parameters_and_buffers",
            "test_momentum_0_copies_and_1_freezes",
            "test_a_still_model_is_approached_geometrically",
            "test_the_update_writes_into_no_array_that_a_graph_may_need",
            "test_models_of_another_structure_are_refused"),
        hints=("slow.state_dict() is a dict of copies of all arrays, parameters and buffers. "
               "Change it, and load it.",
               'Arrays of floats (dtype.kind is "f") become m old + (1 - m) new, in this form, '
               "as old + (1 - m) (new - old) is inexact for m = 0. All other arrays are copied "
               "from the fast model.",
               'theta_slow, theta_fast = slow.state_dict(), fast.state_dict(); for name in '
               'theta_slow: old, new = ...; theta_slow[name] = ... if old.dtype.kind == "f" '
               'else new; slow.load_state_dict(theta_slow)'),
        also=("_check_same_shapes refuses models of another structure: call it with both dicts "
              "of arrays.",),
        mistakes=(
            Mistake("momentum * old + (1 - momentum) * new",
                    "(1 - momentum) * old + momentum * new",
                    "m is the weight of the old, slow values: you have exchanged the two "
                    "weights."),
            Mistake("if is_float else new", "if is_float else old",
                    "Integers and booleans are copied from fast: yours keep their old "
                    "values."),
            Mistake("if is_float else new", "if name in dict(slow.named_parameters()) else new",
                    "Buffers of floats are averaged as well, like parameters: yours are "
                    "copied."),
            Mistake("(1 - momentum) * new if", "new if",
                    "The weights m and 1 - m sum to 1: in yours the arrays grow with each step."),
            Mistake(" if is_float else new", "",
                    "Integers and booleans cannot be averaged: copy them from fast."),
            Mistake("for name in theta_slow:", "for name, _ in slow.named_parameters():",
                    "Buffers follow too, such as the running statistics of a batch norm: "
                    "yours moves parameters only."),
            Mistake("    _check_same_shapes(theta_slow, theta_fast)\n",
                    "",
                    "A model of another structure is refused: call _check_same_shapes first."),
            Mistake("slow.load_state_dict(theta_slow)", "fast.load_state_dict(theta_slow)",
                    "The slow model follows: the fast one stays as it is."),
            Mistake("(1 - momentum) * new if", "(1 - momentum) * old if",
                    "The new part is that of the fast model."))),
    Exercise(
        name="key_queue",
        target="tinyml.selfsupervised.moco:KeyQueue.push",
        level=2, minutes=20,
        view="keys ids filled",
        task="Put keys into a ring of K slots, where new keys replace the oldest",
        tests=laws_of(
            "moco",
            "test_the_queue_holds_the_last_keys_also_of_batches_beyond_it",
            "test_the_queue_keeps_copies",
            "test_keys_of_another_length_are_refused"),
        hints=("self.next is the slot of the next key. Which slots do B keys get, if slot 0 "
               "follows the last slot?",
               "Key i goes to slot (self.next + i) mod K; if a slot occurs twice, NumPy keeps "
               "the later key. Then self.next moves on by B, mod K, and self.filled grows, up "
               "to K. The first push makes self.ring, (K, D).",
               "if self.ring is None: self.ring = np.zeros((self.size, keys.shape[1]), "
               "keys.dtype); slots = (self.next + np.arange(len(keys))) % self.size; "
               "self.ring[slots] = keys; self.ids[slots] = ids; self.next = ...; self.filled = "
               "min(..., self.size)"),
        also=('Keys of another length raise a ValueError, "push: keys must have D = 3 columns, '
              'like the earlier keys, got 2".',
              "The queue keeps copies, of the dtype of the first keys."),
        mistakes=(
            Mistake("min(self.filled + len(keys), self.size)",
                    "self.filled + len(keys)",
                    "At most K slots hold a key: filled stops at K."),
            Mistake("(self.next + len(keys)) % self.size",
                    "(self.next + min(len(keys), self.size)) % self.size",
                    "If B > K, next moves by B modulo K, as if the keys came one by one: you "
                    "move it by K."),
            Mistake("min(self.filled + len(keys), self.size)", "min(len(keys), self.size)",
                    "filled grows: the keys of earlier batches are still there."),
            Mistake("(self.next + len(keys)) % self.size", "(self.next + 1) % self.size",
                    "A batch takes len(keys) slots, not one: the next key goes after all of "
                    "them."),
            Mistake("self.ring[slots] = keys ", "self.ring[slots[::-1]] = keys[::-1] ",
                    "Of more than K keys the last K stay: yours keeps the first ones."),
            Mistake("        self.ids[slots] = ids\n",
                    "",
                    "Store the indices of the images as well: you never write the ids."),
            Mistake("(self.next + np.arange(len(keys))) % self.size",
                    "np.minimum(self.next + np.arange(len(keys)), self.size - 1)",
                    "After the last slot comes slot 0 again: take the slots mod K."),
            Mistake("np.zeros((self.size, keys.shape[1]), keys.dtype)",
                    "np.zeros((self.size, keys.shape[1]))",
                    "The queue keeps the dtype of the first keys."),
            Mistake("min(self.filled + len(keys), self.size)", "self.size",
                    "Only slots that hold keys count: at first the queue is not full."))),
    Exercise(
        name="moco_loss",
        target="tinyml.selfsupervised.moco:MoCo.loss",
        level=2, minutes=20,
        after=("info_nce", "update_momentum", "key_queue"),
        view="queue.keys",
        task="Take one batch through MoCo: queries, the update of the key network, keys, the "
             "loss, the queue",
        tests=laws_of(
            "moco",
            "test_a_batch_goes_through_the_algorithm_of_the_paper",
            "test_no_gradient_reaches_a_key_and_the_keys_still_move",
            "test_a_frozen_key_encoder_stays_as_it_was",
            "test_without_other_images_there_is_nothing_to_learn",
            "test_query_and_key_see_a_view_each_of_every_image_and_both_networks_are_in_one_mode"),
        hints=("Follow the order of the docstring. Should the queue hold the keys of this batch "
               "before the loss, or only after it?",
               "Put the key network in the mode of the query network, "
               "self.key.train(self.query.training), and call update_momentum(self.key, "
               "self.query, momentum=self.momentum). Compute the keys (B, D) without a graph. "
               "The negatives are self.queue.keys(without=ids), of shape (0, 0) at first: "
               "reshape them to (-1, D).",
               "q = self.query(Tensor(x_query)); with no_grad(): k = "
               "self.key(Tensor(x_key)).data; negatives = "
               "self.queue.keys(without=ids).reshape(-1, k.shape[1]); loss = info_nce(q, k, "
               "negatives, temperature=...); self.queue.push(k, ids) after it; return loss"),
        also=("The key network is put in the mode of the query network, training or evaluation.",),
        mistakes=(
            Mistake("self.queue.keys(without=ids)", "self.queue.keys()",
                    "An earlier view of the same image is no negative: leave out the ids of "
                    "this batch."),
            Mistake("        negatives = self.queue.keys(without=ids)",
                    "        self.queue.push(k, ids)\n"
                    "        negatives = self.queue.keys(without=ids)",
                    "The keys join the queue after the loss: yours push out old negatives before "
                    "these are used."),
            Mistake("momentum=self.momentum)", "momentum=1 - self.momentum)",
                    "momentum is the weight of the slow network: pass self.momentum."),
            Mistake("k = self.key(Tensor(x_key)).data", "k = self.query(Tensor(x_key)).data",
                    "Keys come from the slow network self.key, not from the query network."),
            Mistake("        update_momentum(self.key, self.query, momentum=self.momentum)\n"
                    "        with no_grad():\n"
                    "            k = self.key(Tensor(x_key)).data                            # "
                    "(B, D)\n",
                    "        with no_grad():\n"
                    "            k = self.key(Tensor(x_key)).data\n"
                    "        update_momentum(self.key, self.query, momentum=self.momentum)\n",
                    "Update the key network first, then compute the keys: yours come from the "
                    "old network."),
            Mistake("info_nce(q, k, negatives, ",
                    "info_nce(q, k, negatives if len(negatives) else None, ",
                    "With no negatives in the queue the loss is 0: None takes the other "
                    "keys of the batch."),
            Mistake("self.queue.push(k, ids)", "self.queue.push(q.data, ids)",
                    "What joins the queue are the keys of the slow network, not the queries."),
            Mistake("info_nce(q, k, negatives, ", "info_nce(q, k, ",
                    "The negatives are those of the queue: without the third argument "
                    "info_nce takes the other keys of the batch."),
            Mistake("self.queue.push(k, ids)", "pass",
                    "The keys of the batch must join the queue: yours stays empty."),
            Mistake("        self.key.train(self.query.training)\n",
                    "",
                    "The key network must be in the mode of the query network: "
                    ".train(self.query.training)."),
            Mistake("temperature=self.temperature)", "temperature=1)",
                    "You do not use the temperature."),
            Mistake("info_nce(q, k, negatives,", "info_nce(k, q, negatives,",
                    "The query comes first: the gradient flows through q."))),
    Exercise(
        name="byol_loss",
        target="tinyml.selfsupervised.byol:byol_loss",
        level=1, minutes=5,
        after=("alignment",),
        task="Give BYOL's loss: 2 minus twice the mean cosine",
        tests=laws_of(
            "byol",
            "test_the_loss_is_the_squared_distance_of_the_directions",
            "test_the_gradient_is_that_of_the_loss_and_orthogonal_to_each_row",
            "test_zero_vectors_have_a_finite_loss_and_gradient"),
        hints=("The squared distance of two unit vectors is 2 - 2 cos.",
               "F.cosine_similarity(prediction, target) gives B cosines, ops.mean their mean.",
               "return 2 - 2 * ops.mean(...), of the cosines"),
        mistakes=(
            Mistake("2 - 2 * ops.mean(", "2 - ops.mean(",
                    "||u - v||^2 = 2 - 2 u.v: the cosine counts twice."),
            Mistake("2 - 2 * ops.mean(", "2 - 2 * ops.sum(",
                    "The loss is a mean over the rows, not a sum."),
            Mistake("2 - 2 * ops.mean(", "-2 * ops.mean(",
                    "The loss of equal directions is 0: the constant 2 is missing."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.mean(ops.sum((prediction - target) ** 2, axis=1))",
                    "Lengths must not matter: it is the distance of the directions, not of "
                    "the vectors."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.mean(ops.sum((F.normalize(prediction) - F.normalize(target)) ** 2, "
                    "axis=1))",
                    "A zero vector has cos = 0 with everything, so its loss is 2, and your "
                    "distance gives 1: use cosines."),
            Mistake("F.cosine_similarity(prediction, target)",
                    "F.cosine_similarity(prediction.reshape(1, -1), target.reshape(1, -1))",
                    "Each row has its own cosine: yours is a single cosine of the two whole "
                    "arrays."),
            Mistake("F.cosine_similarity(prediction, target)",
                    "F.cosine_similarity(prediction, target.detach())",
                    "Gradients flow to both: yours stops at the target."),
            Mistake("2 - 2 * ops.mean(", "1 - ops.mean(",
                    "The squared distance of two unit vectors is 2 - 2 cos: yours is half "
                    "of it."),
            Mistake("2 - 2 * ops.mean(", "2 + 2 * ops.mean(",
                    "The sign: the loss falls as the cosine rises."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "F.mse_loss(F.normalize(prediction), F.normalize(target))",
                    "A squared distance is a sum over the D coordinates: yours is their mean, "
                    "D times too small."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.sum(2 - 2 * F.cosine_similarity(prediction, target))",
                    "The loss is a mean over the rows, not a sum."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.mean(ops.sum((F.normalize(prediction) - target) ** 2, axis=1))",
                    "Lengths must not matter: normalise the target too."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.mean(ops.sum((prediction - F.normalize(target)) ** 2, axis=1))",
                    "Lengths must not matter: normalise the prediction too."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.sqrt(2 - 2 * ops.mean(F.cosine_similarity(prediction, target)))",
                    "The loss is the squared distance: no root."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "ops.mean(F.cosine_similarity(prediction, target))",
                    "This is the mean cosine: the loss is 2 - 2 cos, 0 for equal directions."),
            Mistake("F.cosine_similarity(prediction, target)",
                    "F.cosine_similarity(prediction, target, axis=0)",
                    "Each row has its own cosine: yours are those of the columns."),
            Mistake("2 - 2 * ops.mean(F.cosine_similarity(prediction, target))",
                    "2 - 2 * ops.mean(ops.sum(prediction * target, axis=1))",
                    "Divide the products by both lengths: cos(p, z') = p.z' / (||p|| ||z'||)."))),
    Exercise(
        name="target_momentum",
        target="tinyml.selfsupervised.byol:target_momentum",
        level=1, minutes=10,
        task="Let tau rise from base to 1 on half a cosine",
        tests=laws_of(
            "byol",
            "test_tau_rises_from_the_base_to_one_like_half_a_cosine"),
        hints=("At k = 0 the cosine is 1, at k = K it is -1. And beyond K?",
               "(cos(pi k / K) + 1) / 2 falls from 1 to 0. Limit k / K to 1, so that tau stays 1 "
               "beyond step K.",
               "progress = min(step / n_steps, ...); return 1 - (1 - base) * (math.cos(math.pi "
               "* progress) + 1) / 2"),
        mistakes=(
            Mistake("min(step / n_steps, 1)", "step / n_steps",
                    "Beyond step K tau stays 1: yours falls again, so limit k / K to 1."),
            Mistake("step / n_steps", "step // n_steps",
                    "// rounds down, to 0 until the last step: divide with /."),
            Mistake("1 - (1 - base) * (", "base + (1 - base) * (",
                    "It rises from base to 1: yours falls from 1 to base."),
            Mistake("(math.cos(math.pi * progress) + 1) / 2", "(1 - progress)",
                    "This is a straight line: tau follows half a cosine, flat at both ends."),
            Mistake("(math.cos(math.pi * progress) + 1) / 2", "math.cos(math.pi / 2 * progress)",
                    "This is a quarter of a cosine: it is (cos(pi k / K) + 1) / 2, over "
                    "half a turn."),
            Mistake("(math.cos(math.pi * progress) + 1) / 2", "(math.cos(math.pi * progress) + 1)",
                    "cos + 1 starts at 2: halve it."),
            Mistake("math.pi * progress", "progress",
                    "The argument of the cosine is pi k / K: pi is missing."),
            Mistake("math.pi * progress", "2 * math.pi * progress",
                    "The cosine goes half a turn, from 1 to -1: pi k / K."),
            Mistake("1 - (1 - base) * (", "1 - base * (",
                    "The distance from 1 starts at 1 - tau_base."))),
    Exercise(
        name="spread",
        target="tinyml.selfsupervised.byol:spread",
        level=1, minutes=10,
        task="Measure whether embeddings have collapsed: the mean deviation of the coordinates "
             "of their directions",
        tests=laws_of(
            "byol",
            "test_spread_is_bounded_by_that_of_the_sphere_and_knows_no_length",
            "test_on_the_sphere_the_spread_is_that_of_the_formula"),
        hints=("Directions first (F.normalize, which takes arrays and gives a Tensor), then the "
               "deviation of each coordinate.",
               "The standard deviation is over the n rows, axis 0, and gives D numbers; the "
               "result is their mean, a float.",
               "u = F.normalize(embeddings).data; return float(u.std(axis=...).mean())"),
        mistakes=(
            Mistake("std(axis=0)", "std(axis=1)",
                    "The deviation of a coordinate is over the embeddings, axis 0: yours "
                    "compares the coordinates of one embedding."),
            Mistake("std(axis=0)", "std(axis=0, ddof=1)",
                    "Divide by n, not by n - 1: the spread of a single embedding is 0."),
            Mistake("F.normalize(embeddings).data", "embeddings",
                    "Lengths must not matter: normalise the rows first."),
            Mistake(".mean())", ".sum())",
                    "It is the mean over the coordinates, not their sum."),
            Mistake("F.normalize(embeddings).data",
                    "embeddings / (embeddings ** 2).sum(axis=1, keepdims=True) ** 0.5",
                    "A zero vector must stay zero: divided by its length it is 0 / 0, a NaN."),
            Mistake(".std(axis=0).mean()", ".var(axis=0).mean() ** 0.5",
                    "Take the root of each variance first, then the mean: yours is the root of "
                    "the mean."),
            Mistake("u.std(axis=0).mean()", "u.std()",
                    "Each coordinate has a mean and a deviation of its own, over axis 0: "
                    "yours mixes them."),
            Mistake(".std(axis=0).mean()", ".var(axis=0).mean()",
                    "Standard deviations, not variances: take the root."),
            Mistake("u.std(axis=0).mean()", "u.std(axis=0).max()",
                    "It is the mean over the coordinates, not the largest."))),
))
