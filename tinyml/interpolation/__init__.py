"""Lesson 10.1: why a model with more parameters than samples can still generalise.

    min_norm         least squares in its three regimes, and where gradient descent ends
    double_descent   the risk of the minimum-norm fit, exactly: the peak at p = n and what follows
"""
