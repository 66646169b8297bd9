"""Exercises: write pieces of the library again, and have them checked by its own tests.

    python -m tinyml.exercises start      writes the first piece to do into a folder of yours
    python -m tinyml.exercises check      says whether it is right, and if not, on which numbers

Nothing is kept twice. A stub is the library's function with its body cut out (`student.stub`); a
check loads the library with your function in the place of its own (`student.splice`), before
anybody imports it, and runs the property tests that the library itself must pass (`walls.runner`).
What fails is explained by the numbers that it fails on, and by the list of mistakes that people
make there (`student.tutor`, `catalogue`).

    catalogue/  the exercises                 student/  from the stub to the hint
    walls/      what keeps grades honest      course/   homework, grading, Gradescope
"""
