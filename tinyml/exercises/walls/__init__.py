"""The walls between a student's code and the grade; `course` says what they protect against.

    names     what an answer may name: a list of what is allowed
    screen    reads an answer as a syntax tree, and refuses what is not on the list
    limits    time, memory, and no file, process or connection, in the child process
    guard     what goes in and out of the student's function: plain values, unchanged arguments
    child     the parent's end of a server: one for each thread, ended in time
    server    the process that has imported everything, and forks for each answer
    messages  what they say to each other
    runner    what the copy does: it locks itself up, runs the tests, and reports
    reports   what the parent believes of a report
"""
