"""Optimizers: from a gradient to the next parameters."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("optim", "Optimizers: SGD, Adam, clipping", (
    Exercise(
        name="sgd",
        target="tinyml.optim:SGD.update",
        level=2, minutes=20,
        after=("tanh",),
        task="Take one step of gradient descent with momentum, weight decay and Nesterov's "
             "variant",
        tests=laws_of(
            "optim",
            "test_gradient_descent_on_a_parabola_is_geometric",
            "test_momentum_on_a_parabola_is_a_linear_map",
            "test_weight_decay_is_the_gradient_of_a_penalty",
            "test_the_velocity_holds_gradients_whatever_the_rate_was",
            "test_a_step_rebinds_the_data_and_writes_to_no_array_of_others",
            "test_parameters_do_not_meet",
            "test_shape_and_dtype_stay"),
        hints=("Follow the three lines of the docstring. Each parameter has its own velocity, "
               "self.velocity[i].",
               "g + weight_decay p first; then v = momentum v + g, which starts from zeros; "
               "then p - lr v, or with Nesterov p - lr (g + momentum v). Bind p.data to a new "
               "array, never write into the old one or into g.",
               "v = momentum * self.velocity.get(i, 0) + g; self.velocity[i] = v; direction = g "
               "+ momentum * v if nesterov else v; p.data = p.data - lr * direction"),
        mistakes=(
            Mistake("            v += g\n",
                    "            v += (1 - momentum) * g if np.any(v) else g\n",
                    "This is an average of gradients; momentum here is v = momentum v + g, "
                    "without a factor 1 - momentum."),
            Mistake("p.data - lr * direction", "p.data + lr * direction",
                    "Descent goes against the gradient: subtract lr g."),
            Mistake("            v += g\n",
                    "            v += (1 - momentum) * g\n",
                    "This is an average of gradients; momentum here is v = momentum v + g, "
                    "without a factor 1 - momentum."),
            Mistake("g + momentum * v if nesterov else v", "v",
                    "Nesterov's step looks ahead: g + momentum v instead of v."),
            Mistake("g + weight_decay * p.data", "g + weight_decay * np.square(p.data)",
                    "The gradient of the penalty weight_decay |p|^2 / 2 is weight_decay p."),
            Mistake("g + weight_decay * p.data", "g - weight_decay * p.data",
                    "The sign of the decay: its gradient is added to g, so that the step "
                    "makes p smaller."),
            Mistake("direction = g + momentum * v if",
                    "direction = g - weight_decay * p.data + momentum * v if",
                    "Add the decay to g once, at the start: the g of Nesterov's g + momentum v "
                    "includes it."),
            Mistake("            v += g\n"
                    "            direction = g + momentum * v if nesterov else v\n"
                    "        p.data = p.data - lr * direction",
                    "            v += lr * g\n"
                    "            direction = lr * g + momentum * v if nesterov else v\n"
                    "        p.data = p.data - (direction if momentum else lr * g)",
                    "v sums gradients without lr, because lr may change from step to step."),
            Mistake("if i not in self.velocity:", "if True:",
                    "The velocity must be kept from step to step; yours starts from zero "
                    "every time."),
            Mistake("p.data = p.data - lr * direction", "p.data -= lr * direction",
                    "The old array may still be needed by a graph: bind p.data to a new one "
                    "instead of writing into it."),
            Mistake("g + momentum * v if nesterov else v", "v + momentum * g if nesterov else v",
                    "Nesterov's direction is g + momentum v: you have exchanged g and v."),
            Mistake("            g = g + weight_decay * p.data\n",
                    "            p.data = (1 - lr * weight_decay) * p.data\n",
                    "The decay comes before the momentum: g + weight_decay p is what the "
                    "velocity collects. Yours acts on the step alone, as in AdamW."),
            Mistake("g + momentum * v if nesterov else v", "g + momentum * v",
                    "Without nesterov the direction is the velocity v itself."),
            Mistake("g + weight_decay * p.data", "g + weight_decay",
                    "The decay is proportional to the parameter: weight_decay p."),
            Mistake("g + weight_decay * p.data", "g + weight_decay * lr * p.data",
                    "The rate lr multiplies the whole direction at the end: no lr in the "
                    "decay."),
            Mistake("            v *= momentum\n",
                    "            v *= 1 - momentum\n",
                    "The old velocity keeps the factor momentum, not 1 - momentum."),
            Mistake("g = g + weight_decay * p.data", "g += weight_decay * p.data",
                    "g += ... writes into the array of the caller: bind g to a new array, g "
                    "= g + ..."),
            Mistake("            v *= momentum\n"
                    "            v += g\n"
                    "            direction = g + momentum * v if nesterov else v\n",
                    "            direction = g + momentum * v if nesterov else v.copy()\n"
                    "            v *= momentum\n"
                    "            v += g\n",
                    "The velocity is updated before the step is taken: v holds the g of this "
                    "step."),
            Mistake("        direction = g\n", "        direction, i = g, 0\n",
                    "Each parameter has its own velocity, self.velocity[i]."),
            Mistake("lr, momentum = as_arrays(g.dtype, lr, momentum)",
                    "lr, momentum = np.float64(lr), np.float64(momentum)",
                    "float32 must stay float32: a Python number keeps the dtype, a NumPy "
                    "float64 does not."),
            Mistake("            g = g + weight_decay * p.data\n",
                    "            g = g + weight_decay * np.abs(p.data)\n",
                    "The gradient of the penalty weight_decay |p|^2 / 2 is weight_decay p."),
            Mistake("            g = g + weight_decay * p.data\n",
                    "            g = g + 2 * weight_decay * p.data\n",
                    "The decay adds weight_decay p to the gradient, without a factor 2."),
            Mistake("            v += g\n", "            v += lr * g if np.any(v) else g\n",
                    "v sums gradients without lr, because lr may change from step to step."),
            Mistake("        if weight_decay:\n"
                    "            g = g + weight_decay * p.data\n",
                    "",
                    "The weight decay does not enter: add weight_decay p to the gradient "
                    "first."))),
    Exercise(
        name="adam",
        target="tinyml.optim:Adam.update",
        level=3, minutes=30,
        after=("sgd",),
        task="Take one step of Adam: moments, their corrections, the step, and both kinds of "
             "weight decay",
        tests=laws_of(
            "optim",
            "test_adam_is_its_algorithm_to_the_letter",
            "test_adam_walks_at_the_rate_lr_along_a_constant_gradient",
            "test_decoupled_decay_shrinks_by_a_factor_and_stays_out_of_the_moments",
            "test_a_step_rebinds_the_data_and_writes_to_no_array_of_others",
            "test_parameters_do_not_meet",
            "test_shape_and_dtype_stay"),
        hints=("Write the algorithm as the docstring prints it. Keep t, m and v of parameter "
               "number i in self.t[i], self.m[i] and self.v[i].",
               "t starts at 1. m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t), p = p - lr m^ / "
               "(sqrt(v^) + eps). If self.decoupled (AdamW), the decay does not enter g: p = p "
               "(1 - lr weight_decay) comes first.",
               "t = self.t.get(i, 0) + 1; m = beta1 * self.m.get(i, 0) + (1 - beta1) * g; v "
               "likewise with g * g; self.t[i], self.m[i], self.v[i] = t, m, v; p.data = first "
               "- lr * m_hat / (np.sqrt(v_hat) + eps), where first is p.data, or p.data * (1 - "
               "lr * weight_decay) with self.decoupled, and beta1, beta2 = betas."),
        mistakes=(
            Mistake("(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)",
                    "eps is added to the root, sqrt(v^) + eps, not to v^ under it."),
            Mistake("v_hat = v / (1 - beta2 ** t)", "v_hat = v",
                    "v starts from zero and is too small at first: divide by 1 - beta2^t."),
            Mistake("m_hat = m / (1 - beta1 ** t)", "m_hat = m",
                    "m starts from zero and is too small at first: divide by 1 - beta1^t."),
            Mistake("(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps ** 2)",
                    "eps is added to the root, sqrt(v^) + eps, not to v^ under it."),
            Mistake("if weight_decay and self.decoupled:", "if False:",
                    "With self.decoupled (AdamW) the decay multiplies p and never enters "
                    "the gradient."),
            Mistake("(1 - beta2) * g * g", "(1 - beta2) * np.abs(g)",
                    "v averages the squares of the gradient, not its absolute values."),
            Mistake("(1 - beta2) * g * g", "(1 - beta2) * g",
                    "v averages the squares of the gradient, not the gradient itself: that "
                    "is m."),
            Mistake("(np.sqrt(v_hat) + eps)", "((np.sqrt(v) + eps) / math.sqrt(1 - beta2 ** t))",
                    "Correct v before you add eps: sqrt(v^) + eps. You divide sqrt(v) + eps by "
                    "the correction."),
            Mistake("if weight_decay and self.decoupled:", "if weight_decay:",
                    "Without self.decoupled the decay is part of the gradient, g + "
                    "weight_decay p."),
            Mistake("beta1, beta2 = betas", "beta2, beta1 = betas",
                    "betas holds beta1, which belongs to m, and then beta2, which belongs to v."),
            Mistake("t = self.t.get(i, 0) + 1", "t = 1",
                    "t counts the steps: it grows by one in each."),
            Mistake("data - lr * m_hat", "data + lr * m_hat",
                    "The sign: Adam goes against the gradient, as SGD does."),
            Mistake("m_hat = m / (1 - beta1 ** t)\n"
                    "        v_hat = v / (1 - beta2 ** t)",
                    "m_hat, v_hat = m, v",
                    "m and v start from zero, and are too small at first: divide by 1 - "
                    "beta1^t and 1 - beta2^t."),
            Mistake("self.t[i], self.m[i], self.v[i] = t, m, v",
                    "self.t[i], self.m[i], self.v[i] = t, m_hat, v_hat",
                    "Keep m and v as they are: the corrected m^ and v^ are for this step "
                    "only."),
            Mistake("self.t[i], self.m[i], self.v[i] = t, m, v",
                    "self.t[i], self.m[i], self.v[i] = t, m_hat, v",
                    "Keep m as it is: the corrected m^ is for this step only."),
            Mistake("(1 - beta1) * g\n",
                    "g\n",
                    "m is an average: g enters with the weight 1 - beta1."),
            Mistake("m_hat / (np.sqrt(v_hat) + eps)", "m_hat / (v_hat + eps)",
                    "Divide by the square root of v^."),
            Mistake("(1 - lr * weight_decay) * data", "(1 - weight_decay) * data",
                    "The decoupled decay is scaled by the rate: 1 - lr weight_decay."),
            Mistake("g = g + weight_decay * data", "g = g - weight_decay * data",
                    "The sign of the decay: its gradient is added to g."),
            Mistake("v_hat = v / (1 - beta2 ** t)", "v_hat = v / (1 - beta2) ** t",
                    "The correction is 1 - beta2^t: only beta2 is raised to the power t."),
            Mistake("m_hat = m / (1 - beta1 ** t)", "m_hat = m / (1 - beta1) ** t",
                    "The correction is 1 - beta1^t: only beta1 is raised to the power t."),
            Mistake("lr * m_hat / (np.sqrt(v_hat) + eps)", "lr * g / (np.sqrt(v_hat) + eps)",
                    "The step goes along the average m^, not along the last gradient."),
            Mistake("if weight_decay and self.decoupled:",
                    "if weight_decay and not self.decoupled:",
                    "The two kinds of decay are exchanged: AdamW, with decoupled, shrinks "
                    "the parameter itself."),
            Mistake("m_hat = m / (1 - beta1 ** t)\n"
                    "        v_hat = v / (1 - beta2 ** t)",
                    "m_hat = m / (1 - beta1 ** (t + 1))\n"
                    "        v_hat = v / (1 - beta2 ** (t + 1))",
                    "t is one ahead: the first step has t = 1."),
            Mistake("t = self.t.get(i, 0) + 1", "t = max(self.t.values(), default=0) + 1",
                    "Each parameter counts its own steps, self.t[i]: a count that all share "
                    "runs ahead."),
            Mistake("p.data = data - lr * m_hat / (np.sqrt(v_hat) + eps)",
                    "p.data = p.data - lr * m_hat / (np.sqrt(v_hat) + eps)\n"
                    "        if self.decoupled:\n"
                    "            p.data = (1 - lr * weight_decay) * p.data",
                    "The decoupled decay comes first: it shrinks the old p, not p after the "
                    "step."),
            Mistake("(1 - beta2) * g * g", "(1 - beta2) * m * m",
                    "v averages the squares of the gradient g, not those of its average m."),
            Mistake("v = beta2 * self.v.get(i, 0) + (1 - beta2) * g * g",
                    "v = np.maximum(beta2 * self.v.get(i, 0), g * g)",
                    "v is an average of the squares, not their maximum."),
            Mistake("beta1 * self.m.get(i, 0) + (1 - beta1) * g",
                    "(1 - beta1) * self.m.get(i, 0) + beta1 * g",
                    "The weights are exchanged: the old m keeps beta1, and g enters with 1 - "
                    "beta1."),
            Mistake("beta2 * self.v.get(i, 0) + (1 - beta2) * g * g",
                    "(1 - beta2) * self.v.get(i, 0) + beta2 * g * g",
                    "The weights are exchanged: the old v keeps beta2, and g^2 enters with 1 "
                    "- beta2."),
            Mistake("(1 - beta2) * g * g", "g * g",
                    "v is an average: g^2 enters with the weight 1 - beta2."),
            Mistake("data - lr * m_hat", "data - m_hat",
                    "The learning rate lr is missing from the step."),
            Mistake("p.data = data - lr * m_hat / (np.sqrt(v_hat) + eps)",
                    "p.data = data - lr * m_hat / (np.sqrt(v_hat) + np.float64(eps))",
                    "float32 must stay float32: Python numbers keep the dtype, NumPy's "
                    "float64 does not, and np.sqrt of a Python number is one. Use math.sqrt."),
            Mistake("        m_hat = m / (1 - beta1 ** t)\n"
                    "        v_hat = v / (1 - beta2 ** t)\n"
                    "        p.data = data - lr * m_hat / (np.sqrt(v_hat) + eps)",
                    "        rate = lr * np.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)\n"
                    "        p.data = data - rate * m / (np.sqrt(v) + eps)",
                    "Correct v before you add eps: sqrt(v^) + eps. You divide sqrt(v) + eps "
                    "by the correction."),
            Mistake("m_hat = m / (1 - beta1 ** t)\n"
                    "        v_hat = v / (1 - beta2 ** t)",
                    "m_hat = m / (1 - beta1 ** (t - 1)) if t > 1 else m\n"
                    "        v_hat = v / (1 - beta2 ** (t - 1)) if t > 1 else v",
                    "t is one behind: the first step has t = 1."),
            Mistake("m_hat = m / (1 - beta1 ** t)\n"
                    "        v_hat = v / (1 - beta2 ** t)",
                    "m_hat = m * (1 - beta1 ** t)\n"
                    "        v_hat = v * (1 - beta2 ** t)",
                    "m and v are too small at first: divide by the corrections, do not "
                    "multiply."),
            Mistake("            g = g + weight_decay * data\n",
                    "            g += weight_decay * data\n",
                    "g += ... writes into the array of the caller: bind g to a new array, g "
                    "= g + ..."),
            Mistake("            g = g + weight_decay * data\n",
                    "            g = g + lr * weight_decay * data\n",
                    "The decay in the gradient is weight_decay p, without lr: the rate "
                    "multiplies the step."),
            Mistake("(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat)",
                    "eps is missing: where v^ is 0 the step is 0 / 0."),
            Mistake("(np.sqrt(v_hat) + eps)", "np.maximum(np.sqrt(v_hat), eps)",
                    "eps is added to the root, sqrt(v^) + eps: it is not a lower bound."))),
    Exercise(
        name="clip_grad_norm_",
        target="tinyml.optim:clip_grad_norm_",
        level=2, minutes=15,
        after=("sgd",),
        keep=1,
        task="Scale all gradients together down to a largest norm, keeping their direction",
        tests=laws_of(
            "optim",
            "test_clipping_shortens_the_gradient_and_keeps_its_direction",
            "test_clipping_squares_no_float32",
            "test_clipping_refuses_what_has_no_direction"),
        hints=("All gradients form one long vector; it has one norm, and one factor scales it.",
               "||g|| = sqrt(sum of all squares), in float64. If it is more than max_norm, every "
               "p.grad becomes p.grad max_norm / ||g||, in its own dtype. Return the norm before "
               "clipping, as a float.",
               "with_grad = [p for p in parameters if p.grad is not None], a list as it is "
               "needed twice; norm = math.sqrt(the sum of float(np.vdot(g, g)), g = "
               "p.grad.astype(np.float64)); a ValueError unless it is finite; if norm > "
               "max_norm: p.grad = np.asarray(p.grad * (max_norm / norm)) for each; return norm"),
        mistakes=(
            Mistake("p.grad.astype(np.float64)", "p.grad",
                    "1e20 squared overflows float32: add up the squares in float64."),
            Mistake("    if norm > max_norm:\n",
                    "    if True:\n",
                    "A gradient that is short enough stays as it is; yours is stretched to "
                    "max_norm."),
            Mistake("(max_norm / norm)", "max_norm",
                    "The factor is max_norm / norm, so that the new norm is max_norm."),
            Mistake("math.sqrt(sum(float(np.vdot(g, g)) for g in wide))",
                    "sum(math.sqrt(float(np.vdot(g, g))) for g in wide)",
                    "One norm of all gradients together: add the squares first, then take "
                    "one root."),
            Mistake("    return norm", "    return min(norm, max_norm)",
                    "Return the norm before clipping."),
            Mistake("p.grad = np.asarray(p.grad * (max_norm / norm))", "p.grad *= max_norm / norm",
                    "The arrays of `backward` are read-only, as they may be shared: bind p.grad "
                    "to a new array."),
            Mistake("np.asarray(p.grad * (max_norm / norm))", "p.grad * (max_norm / norm)",
                    "For a p without axes NumPy's product is a number, not an array: put "
                    "np.asarray(...) around it."),
            Mistake("    if not math.isfinite(norm):", "    if False:",
                    "A gradient with NaN or infinity has no direction: refuse it with a "
                    "ValueError before any change."),
            Mistake("(max_norm / norm)", "(max_norm / (norm + 1e-6))",
                    "PyTorch adds 1e-6 to the norm; here the factor is max_norm / norm."),
            Mistake("np.asarray(p.grad * (max_norm / norm))",
                    "np.clip(p.grad, -max_norm, max_norm)",
                    "This clips each entry. Clipping by the norm scales all gradients by "
                    "one factor, and keeps their direction."),
            Mistake("np.asarray(p.grad * (max_norm / norm))",
                    "np.asarray(p.grad * (max_norm / max(max_norm, float(np.sqrt(np.vdot(p.grad, "
                    "p.grad))))))",
                    "The norm is that of all gradients together; you scale each parameter "
                    "by its own."),
            Mistake("math.sqrt(sum(float(np.vdot(g, g)) for g in wide))",
                    "sum(float(np.vdot(g, g)) for g in wide)",
                    "This is the square of the norm: take the root."),
            Mistake("math.sqrt(sum(float(np.vdot(g, g)) for g in wide))",
                    "max([float(np.abs(g).max(initial=0)) for g in wide], default=0.0)",
                    "This is the largest entry; the norm is the root of the sum of all "
                    "squares."),
            Mistake("    if norm > max_norm:\n"
                    "        for p in with_grad:\n"
                    "            p.grad = np.asarray(p.grad * (max_norm / norm))",
                    "    for p in with_grad:\n"
                    "        p.grad = np.asarray(p.grad * min(1.0, max_norm / (norm + 1e-6)))",
                    "PyTorch adds 1e-6 to the norm; here the factor is max_norm / norm."),
            Mistake("    return norm", "    return norm if norm > max_norm else None",
                    "The norm is returned in any case, also where nothing is clipped."),
            Mistake("math.sqrt(sum(float(np.vdot(g, g)) for g in wide))",
                    "math.sqrt(float(np.mean([np.vdot(g, g) for g in wide]))) if with_grad "
                    "else 0.0",
                    "The squares of all gradients are summed, not averaged over the "
                    "parameters."),
            Mistake("math.sqrt(sum(float(np.vdot(g, g)) for g in wide))",
                    "max((math.sqrt(float(np.vdot(g, g))) for g in wide), default=0.0)",
                    "||g|| is the norm of all gradients as one vector, not the largest norm "
                    "of a parameter."),
            Mistake("(max_norm / norm)", "(max_norm / norm) ** 2",
                    "The factor is max_norm / norm itself, not its square."),
            Mistake("(max_norm / norm)", "(norm / max_norm)",
                    "The factor is upside down: max_norm / norm is below 1 here."),
            Mistake("p.grad = np.asarray(p.grad * (max_norm / norm))",
                    "p.grad = np.asarray(p.grad * np.float64(max_norm / norm))",
                    "Each gradient keeps its dtype: a NumPy float64 makes a float32 array a "
                    "float64 one."),
            Mistake("    if not math.isfinite(norm):\n"
                    '        raise ValueError(f"clip_grad_norm_: the gradients must be '
                    'finite, got norm {norm}; run "\n'
                    '                         "the step under tinyml.detect_anomaly() to see '
                    'where the first NaN or "\n'
                    '                         "infinity came from")\n'
                    "    if norm > max_norm:\n"
                    "        for p in with_grad:\n"
                    "            p.grad = np.asarray(p.grad * (max_norm / norm))",
                    "    if norm > max_norm:\n"
                    "        for p in with_grad:\n"
                    "            p.grad = p.grad * (max_norm / norm)",
                    "A gradient with NaN or infinity has no direction: refuse it with a "
                    "ValueError before any change. And for a p without axes NumPy's product "
                    "is a number: put np.asarray(...) around it."))),
))
