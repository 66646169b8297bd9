"""Contrastive learning with a second network that follows slowly: momentum, and a queue."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("momentum", "10.3.2 A second network that follows slowly: MoCo", (
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
                    "The new part is that of the fast model."),
            Mistake("slow.load_state_dict(theta_slow)",
                    "slow.load_state_dict(theta_slow)\n"
                    "    fast.load_state_dict(theta_slow)",
                    "The slow model follows: the fast one stays as it is."),
            Mistake("slow.load_state_dict(theta_slow)",
                    "for name, p in slow.named_parameters():\n"
                    "        p.data[...] = theta_slow[name]\n"
                    "    slow.load_state_dict(theta_slow)",
                    "Give each parameter a new array: a graph may still need the old one, and "
                    "you write into it."),
            Mistake("momentum * old + (1 - momentum) * new",
                    "momentum * new + (1 - momentum) * new",
                    "The old part is that of the slow model, with the weight m."),
            Mistake("momentum * old + (1 - momentum) * new", "momentum * old",
                    "The part of the fast model is missing: add (1 - m) new."),
            Mistake("momentum * old + (1 - momentum) * new", "(old + new) / 2",
                    "The weights are m and 1 - m, not one half each."),
            Mistake("if is_float else new", "if old.dtype.kind != 'b' else new",
                    "Integers and booleans cannot be averaged: copy them from fast."),
            Mistake("momentum * old + (1 - momentum) * new if is_float else new",
                    "(momentum * old + (1 - momentum) * new).astype(old.dtype)",
                    "Integers and booleans are copied from fast: yours averages and rounds "
                    "them."),
            Mistake("momentum * old + (1 - momentum) * new",
                    "momentum ** 2 * old + (1 - momentum ** 2) * new",
                    "One call makes one step: yours makes two."),
            Mistake("momentum * old + (1 - momentum) * new", "old + (1 - momentum) * (old - new)",
                    "The slow model moves towards the fast one, by new - old: yours moves "
                    "away."),
            Mistake("if is_float else new", "if is_float and name.endswith('weight') else new",
                    "All arrays of floats are averaged, biases and buffers too: yours copies "
                    "some."),
            Mistake("momentum * old + (1 - momentum) * new",
                    "(old - (1 - momentum) * (new - old) if name in "
                    "dict(slow.named_parameters()) else momentum * old + (1 - momentum) * "
                    "new)",
                    "The slow model moves towards the fast one, by new - old: yours moves "
                    "away."))),
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
                    "Only slots that hold keys count: at first the queue is not full."),
            Mistake("min(self.filled + len(keys), self.size)", "self.next",
                    "filled is the number of slots with a key: it does not start again at 0, "
                    "as next does."),
            Mistake("min(self.filled + len(keys), self.size)", "max(self.filled, self.next)",
                    "filled grows by B, up to K: next is 0 again when the last slot is full."),
            Mistake("min(self.filled + len(keys), self.size)", "min(self.filled + 1, self.size)",
                    "A batch fills len(keys) slots, not one."),
            Mistake("        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "        keys, ids = keys[:self.size], ids[:self.size]\n"
                    "        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "Of more than K keys the last K stay: yours keeps the first ones."),
            Mistake("        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "        if self.next + len(keys) > self.size:\n"
                    "            self.next = 0\n"
                    "        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "A batch that reaches the last slot goes on at slot 0: yours begins at "
                    "slot 0 and leaves old keys at the end."),
            Mistake("        slots = (self.next + np.arange(len(keys))) % self.size\n"
                    "        self.ring[slots] = keys       # where a slot occurs twice, the "
                    "later key stays\n"
                    "        self.ids[slots] = ids\n"
                    "        self.next = (self.next + len(keys)) % self.size\n",
                    "        slots = (self.next + np.arange(len(keys))) % max(self.size - 1, "
                    "1)\n"
                    "        self.ring[slots] = keys       # where a slot occurs twice, the "
                    "later key stays\n"
                    "        self.ids[slots] = ids\n"
                    "        self.next = (self.next + len(keys)) % max(self.size - 1, 1)\n",
                    "The slots are 0..K-1: after slot K - 1 comes slot 0, so take them mod K, "
                    "not mod K - 1."),
            Mistake("        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "        keys, ids = keys[::-1], ids[::-1]\n"
                    "        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "The keys go into the slots in their order: yours are reversed."),
            Mistake("        slots = (self.next + np.arange(len(keys))) % self.size\n",
                    "        slots = (self.filled + np.arange(len(keys))) % self.size\n",
                    "The next key goes to the slot self.next: filled stays K when the ring is "
                    "full."),
            Mistake("(self.next + np.arange(len(keys))) % self.size",
                    "np.arange(len(keys)) % self.size",
                    "The keys go on after the earlier ones, from slot self.next: yours begin "
                    "at slot 0 each time."),
            Mistake("self.next = (self.next + len(keys)) % self.size", "self.next = self.next",
                    "The keys go on after the earlier ones, from slot self.next: yours begin "
                    "at slot 0 each time."),
            Mistake("(self.next + np.arange(len(keys))) % self.size",
                    "(self.next + 1 + np.arange(len(keys))) % self.size",
                    "next is the slot of the next key itself: the first key goes there."),
            Mistake("if keys.shape[1] != self.ring.shape[1]:", "if False:",
                    "Keys of another length are refused with the message of the task: compare "
                    "keys.shape[1] with that of the ring."),
            Mistake("self.ids[slots] = ids", "self.ids[slots] = slots",
                    "Store the indices of the images, ids, not the slots."))),
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
        also=("The key network is put in the mode of the query network, training or evaluation.",
              "An empty queue gives keys of shape (0, 0), but info_nce wants D columns: "
              "reshape(-1, D)."),
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
                    "The query comes first: the gradient flows through q."),
            Mistake("        negatives = self.queue.keys(without=ids)\n"
                    "        negatives = negatives.reshape(-1, k.shape[1])    # an empty "
                    "queue gives (0, 0)\n"
                    "        loss = info_nce(q, k, negatives, temperature=self.temperature)\n"
                    "        self.queue.push(k, ids)\n",
                    "        self.queue.push(k, ids)\n"
                    "        negatives = self.queue.keys(without=ids)\n"
                    "        negatives = negatives.reshape(-1, k.shape[1])    # an empty "
                    "queue gives (0, 0)\n"
                    "        loss = info_nce(q, k, negatives, temperature=self.temperature)\n",
                    "The keys join the queue after the loss: yours push out old negatives "
                    "before these are used."),
            Mistake("        q = self.query(Tensor(x_query)) ",
                    "        x_query, x_key = x_key, x_query\n"
                    "        q = self.query(Tensor(x_query)) ",
                    "The query network gets x_query, the key network x_key: yours are "
                    "exchanged."),
            Mistake("k = self.key(Tensor(x_key)).data", "k = self.key(Tensor(x_query)).data",
                    "The key is the embedding of the second view, x_key: yours is that of "
                    "x_query."),
            Mistake("self.key.train(self.query.training)", "self.key.eval()",
                    "The key network must be in the mode of the query network: "
                    ".train(self.query.training)."),
            Mistake("self.key.train(self.query.training)", "self.key.train()",
                    "The key network must be in the mode of the query network: "
                    ".train(self.query.training)."),
            Mistake("        update_momentum(self.key, self.query, momentum=self.momentum)\n", "",
                    "The key network must follow the query network: yours stays as it was."),
            Mistake("update_momentum(self.key, self.query, ",
                    "update_momentum(self.query, self.key, ",
                    "The key network is the slow one, and comes first: yours moves the query "
                    "network."),
            Mistake("negatives = self.queue.keys(without=ids)\n",
                    "negatives = self.queue.ring if self.queue.ring is not None else k[:0]\n",
                    "Take the keys of other images from the slots that are filled, "
                    "self.queue.keys(without=ids): you take all slots."),
            Mistake("info_nce(q, k, negatives, ", "info_nce(q, q.detach(), negatives, ",
                    "The positive of a query is its key k, from the slow network: yours is "
                    "the query itself."),
            Mistake("temperature=self.temperature)", "temperature=1 / self.temperature)",
                    "info_nce divides by the temperature: pass it as it is."),
            Mistake("self.queue.push(k, ids)", "self.queue.push(k, range(len(ids)))",
                    "The queue stores the indices of the images, ids, not the places in the "
                    "batch."),
            Mistake("        self.queue.push(k, ids)\n",
                    "        self.queue.push(k, ids)\n"
                    "        update_momentum(self.key, self.query, momentum=self.momentum)\n",
                    "Update the key network once for each batch: yours does it twice."),
            Mistake("info_nce(q, k, negatives, temperature=self.temperature)",
                    "(info_nce(q, k, negatives, temperature=self.temperature) + info_nce(q, "
                    "k, temperature=self.temperature)) / 2",
                    "The only negatives are those of the queue: yours adds the other keys of "
                    "the batch."))),
))
