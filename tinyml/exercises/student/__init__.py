"""The way of a student: a stub, an answer, a check, and what is said about it.

    stub         a function of the library without its body, and what may be used
    workspace    the student's folder: files, progress
    check        an answer is read, run by a child, and judged
    splice       the library with the student's function in the place of its own
    outcome      what a call gave, and whether two calls gave the same
    tutor        why an answer fails: what is found by
    replay       ... calls made again, with the library and with the listed mistakes
    diagnosis    ... the mistake that the answer looks like
    chance       ... or whose results are distributed as those of the answer
    relations    ... what is true of all wrong results
    example      ... an input that shows it, in words
    words        values as text
    report       what is said to people
    watch        checks at every save
    mine         demos on the student's functions
"""
