"""The walls between a student's code and the grade; `course` says what they protect against.

    names     what an answer may name: a list of what is allowed
    screen    reads an answer as a syntax tree, and refuses what is not on the list
    limits    time, memory, and no file, process or connection, in the child process
    guard     what goes in and out of the student's function: plain values, unchanged arguments
    runner    the child process: it collects the tests, locks itself up, and reports
    reports   what the parent believes of a child's report
"""
