"""Optimizers: from a gradient to the next parameters."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

TESTS = "test_optim.py"

CHAPTER = Chapter("optim", "Optimizers: SGD, Adam, clipping", (
    Exercise(
        name="sgd", target="tinyml.optim:SGD.update", level=2, minutes=20, after=("tanh",),
        task="Take one step of gradient descent with momentum, weight decay and Nesterov's variant",
        tests=(f"{TESTS}::test_gradient_descent_on_a_parabola_is_geometric",
               f"{TESTS}::test_momentum_on_a_parabola_is_a_linear_map",
               f"{TESTS}::test_weight_decay_is_the_gradient_of_a_penalty",
               f"{TESTS}::test_the_velocity_holds_gradients_whatever_the_rate_was",
               f"{TESTS}::test_a_step_rebinds_the_data_and_writes_to_no_array_of_others",
               f"{TESTS}::test_parameters_do_not_meet", f"{TESTS}::test_shape_and_dtype_stay"),
        hints=("Follow the three lines of the docstring. Each parameter has a velocity of its own, by its number i.",
               "g + weight_decay p first; then v = momentum v + g, which starts from zeros; then p - lr v, or with "
               "Nesterov p - lr (g + momentum v). Bind p.data to a new array, never write into the old one or into g.",
               "v = self.momentum * self.velocity.get(i, 0) + g; self.velocity[i] = v; g = g + self.momentum * v if "
               "self.nesterov else v; p.data = np.asarray(p.data - self.lr * g)"),
        mistakes=(
            Mistake("p.data = np.subtract(p.data, work, out=work)", "p.data = np.add(p.data, work, out=work)",
                    "Descent goes against the gradient: subtract lr g."),
            Mistake("            v += g\n", "            v += (1 - self.momentum) * g\n",
                    "This is an average of gradients; momentum here is v = momentum v + g, without a factor 1 - momentum."),
            Mistake("g = g + self.momentum * v if self.nesterov else v", "g = v",
                    "Nesterov's step looks ahead: g + momentum v instead of v."),
            Mistake("g + self.weight_decay * p.data", "g + self.weight_decay * np.square(p.data)",
                    "The gradient of the penalty weight_decay |p|^2 / 2 is weight_decay p."),
            Mistake("g + self.weight_decay * p.data", "g - self.weight_decay * p.data",
                    "The sign of the decay: its gradient is added to g, so that the step makes p smaller."),
            Mistake("            g = g + self.momentum * v if", "            g = g - self.weight_decay * p.data + "
                    "self.momentum * v if",
                    "The decay belongs to g once and for all: Nesterov's g + momentum v has the g with the decay."),
            Mistake("            v += g\n            g = g + self.momentum * v if self.nesterov else v\n"
                    "        work = np.asarray(self.lr * g)",
                    "            v += self.lr * g\n"
                    "            g = self.lr * g + self.momentum * v if self.nesterov else v\n"
                    "        work = np.asarray(g if self.momentum else self.lr * g)",
                    "v is a sum of gradients without lr: the rate may have changed when v is used again."),
            Mistake("work = np.asarray(self.lr * g)    # NumPy's scalars are no arrays\n"
                    "        p.data = np.subtract(p.data, work, out=work)", "p.data = p.data - self.lr * g",
                    "Where p has no axes, NumPy's difference is a number, and no array: np.asarray(...) around it."),
            Mistake("if i not in self.velocity:", "if True:",
                    "The velocity must live on from step to step; yours starts from zero every time."),
            Mistake("p.data = np.subtract(p.data, work, out=work)", "p.data -= work",
                    "The old array may still be needed by a graph: bind p.data to a new one instead of writing into it."))),
    Exercise(
        name="adam", target="tinyml.optim:Adam.update", level=3, minutes=30, after=("sgd",),
        task="Take one step of Adam: moments, their corrections, the step, and both kinds of weight decay",
        tests=(f"{TESTS}::test_adam_is_its_algorithm_to_the_letter",
               f"{TESTS}::test_adam_walks_at_the_rate_lr_along_a_constant_gradient",
               f"{TESTS}::test_decoupled_decay_shrinks_by_a_factor_and_stays_out_of_the_moments",
               f"{TESTS}::test_a_step_rebinds_the_data_and_writes_to_no_array_of_others",
               f"{TESTS}::test_parameters_do_not_meet", f"{TESTS}::test_shape_and_dtype_stay"),
        hints=("Write the algorithm as the docstring prints it; the library's own way is only a faster order. Keep t, m "
               "and v of parameter number i in self.state[i].",
               "t starts at 1. m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t), p = p - lr m^ / (sqrt(v^) + eps). If "
               "self.decoupled (AdamW), the decay does not enter g: p = p (1 - lr weight_decay) comes first.",
               "t, m, v = self.state.get(i, [0, 0, 0]); t += 1; m = beta1 * m + (1 - beta1) * g; v likewise with g * g; "
               "self.state[i] = [t, m, v]; p.data = np.asarray(p_first - lr * m_hat / (np.sqrt(v_hat) + eps)), where "
               "p_first is p.data, or p.data * (1 - lr * weight_decay) with self.decoupled, lr and so on are "
               "attributes of self, and beta1, beta2 = self.betas."),
        mistakes=(
            Mistake("math.sqrt((1 - beta2) / (1 - beta2 ** t))", "math.sqrt(1 - beta2)",
                    "v starts from zero and is too small at first: divide by 1 - beta2^t."),
            Mistake("self.lr * (1 - beta1) / (1 - beta1 ** t) / scale", "self.lr * (1 - beta1) / scale",
                    "m starts from zero and is too small at first: divide by 1 - beta1^t."),
            Mistake("work += self.eps / scale", "work = np.asarray(np.sqrt(np.square(work) + self.eps / scale ** 2))",
                    "eps is added to the root, sqrt(v^) + eps, not to v^ under it."),
            Mistake("if self.weight_decay and self.decoupled:", "if False:",
                    "With self.decoupled (AdamW) the decay multiplies p and never enters the gradient."),
            Mistake("work = np.asarray(g * g)", "work = np.asarray(np.abs(g))",
                    "v averages the squares of the gradient, not their sizes."),
            Mistake("work = np.asarray(g * g)", "work = np.array(g)",
                    "v averages the squares of the gradient, not the gradient itself: that is m."),
            Mistake("work += self.eps / scale", "work += self.eps / math.sqrt(1 - beta2)",
                    "v is corrected before eps is added: sqrt(v^) + eps, not sqrt(v) + eps over the correction."),
            Mistake("        if self.weight_decay and self.decoupled:", "        if self.weight_decay:",
                    "Without self.decoupled the decay is a part of the gradient, g + weight_decay p."),
            Mistake("beta1, beta2 = self.betas", "beta2, beta1 = self.betas",
                    "The first of self.betas is beta1, the memory of m, and the second beta2, that of v."),
            Mistake("p.data = np.subtract(data, work, out=work)", "p.data = (data - work)[()]",
                    "Where p has no axes, NumPy's difference is a number, and no array: np.asarray(...) around it."),
            Mistake("self.state[i][0] += 1", "self.state[i][0] = 1",
                    "t counts the steps: it has to grow by one at each."),
            Mistake("p.data = np.subtract(data, work, out=work)", "p.data = np.add(data, work, out=work)",
                    "The sign: Adam too goes against the gradient."))),
    Exercise(
        name="clip_grad_norm_", target="tinyml.optim:clip_grad_norm_", level=2, minutes=15, keep=1, after=("sgd",),
        task="Shorten all gradients together to a largest norm, in their direction",
        tests=(f"{TESTS}::test_clipping_shortens_the_gradient_and_keeps_its_direction",
               f"{TESTS}::test_clipping_squares_no_float32",
               f"{TESTS}::test_clipping_refuses_what_has_no_direction"),
        hints=("All gradients are one long vector; it has one norm, and one factor scales it.",
               "||g|| = sqrt(sum of all squares), in float64. If it is more than max_norm, every p.grad becomes p.grad "
               "max_norm / ||g||, in its own dtype. Return the norm before as a float.",
               "with_grad = [p for p in parameters if p.grad is not None], a list as it is needed twice; norm = "
               "math.sqrt(the sum of float(np.vdot(g, g)), g = p.grad.astype(np.float64)); a ValueError unless it is "
               "finite; if norm > max_norm: p.grad = np.asarray(p.grad * (max_norm / norm)) for each; return norm"),
        mistakes=(
            Mistake("p.grad.astype(np.float64)", "p.grad",
                    "The square of 1e20 is no float32: add up the squares in float64."),
            Mistake("    if norm > max_norm:\n", "    if True:\n",
                    "A gradient that is short enough stays as it is; yours is stretched to max_norm."),
            Mistake("(max_norm / norm)", "max_norm", "The factor is max_norm / norm, so that the new norm is max_norm."),
            Mistake("math.sqrt(sum(float(np.vdot(g, g)) for g in wide))",
                    "sum(math.sqrt(float(np.vdot(g, g))) for g in wide)",
                    "One norm of all gradients together: add the squares first, then take one root."),
            Mistake("    return norm", "    return min(norm, max_norm)",
                    "What is returned is the norm before clipping."),
            Mistake("p.grad = np.asarray(p.grad * (max_norm / norm))", "p.grad *= max_norm / norm",
                    "A gradient of `backward` cannot be written to, it may be shared: bind p.grad to a new array."),
            Mistake("np.asarray(p.grad * (max_norm / norm))", "p.grad * (max_norm / norm)",
                    "Where p has no axes, NumPy's product is a number, and no array: np.asarray(...) around it."),
            Mistake("    if not math.isfinite(norm):", "    if False:",
                    "A gradient with NaN or infinity has no direction: refuse it with a ValueError before any change."),
            Mistake("(max_norm / norm)", "(max_norm / (norm + 1e-6))",
                    "PyTorch adds 1e-6 to the norm; here the factor is max_norm / norm."))),
))
