"""Lesson 10.2: making a trained network small, in bytes that are real.
"""
