"""The course: homework as a file, a class graded, Gradescope, and what the class got wrong.

    python -m tinyml.exercises homework hw3.ini        makes the folder that a student gets
    python -m tinyml.exercises grade FOLDER --homework hw3.ini --jobs 2
    python -m tinyml.exercises gradescope hw3.ini      writes the zip of an autograder

A homework is an INI file; `course.homework` lists its keys. `grade` reads what a class handed in:
a folder or zip for each student, or the bulk download of Canvas, Moodle or Blackboard. It may be
interrupted; the same command goes on. Who is late is in a table submitted.csv that you put into
that folder, with names as in grades.csv; without it everybody is on time, and whom Canvas marks as
late is listed. (Gradescope knows the times by itself. Times of files say nothing, since downloads
change them.)

    student,submitted
    doe_12345,2026-12-02 09:30+11:00

Grade once, write the table, and grade again: only the points change. In the folder of results are

    students/<name>/feedback.txt    what to send to the student
    students/<name>/results.json    the same in Gradescope's format
    grades.csv, grades.txt          a row for each student
    answers.csv                     a row for each student and exercise
    class.txt, class.png            what the class got wrong (the picture needs Matplotlib)
    unused.csv                      files that were seen and not used, and why

A server for each job imports everything once and collects the tests of each exercise; each answer
then runs in a copy of it. An answer costs about 1.3 seconds of computing, an endless loop eleven.
So 200 students and 20 exercises need about three quarters of an hour on two cores, and half of
that on four (`--jobs`): all that grows with the class is the answers, and equal texts are checked
once. On more machines, give `course.grade.grade` an executor of `concurrent.futures` kind; what it
passes on is plain data.

What this protects against. An answer is read before it runs, and refused if it names what no
answer needs; it runs in a process of its own, with limits, and cannot forge the report. That
stops the cleverness of students: a skipped test, an object that equals everything, a file or a
process of their own. It is no jail: Python in one process has none, and a determined attacker who
finds a hole may do what the account that grades may do. Grade what you do not trust in a
container, as Gradescope does. Whether two answers are too similar is not looked at: solutions
of a line or two are alike by nature.
"""
