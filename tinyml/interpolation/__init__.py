"""Lesson 10.1: why a model with more parameters than samples can still generalise.

    bias_variance    bias^2, variance and noise: the U-shaped risk, and what follows it
    min_norm         least squares in its three regimes, and where gradient descent ends
    ridge            least squares with a penalty, and how to choose the penalty
    implicit_bias    SGD and momentum find the shortest fit too, Adam finds another
    early_stopping   early stopping and ridge shrink the fit in almost the same way
    double_descent   the risk of the minimum-norm fit, exactly: the peak at p = n and what follows
    benign           when a fit through every noisy label is harmless: effective ranks
    random_features  double descent on real digits, with random Fourier features
    forest           double descent of trees and forests, grown from scratch
    grove            its fast twin: all trees of a forest grow together
    epoch_wise       double descent in time: the risk falls, rises and falls during training
    second_fall      whether a noisy curve of test errors falls a second time
"""
