"""The lines of parameters: how one is read, and how a value is held to it."""
import ast
import re

from tinyml.grammar.conditions import (
    ABSENT,
    NAME,
    compared,
    finite,
    fits_axes,
    fits_run,
    in_order,
    letter_compared,
    not_empty,
    not_nan,
    not_zero,
    rows_sum_to_1,
    where,
)
from tinyml.grammar.kinds import KINDS, Refused, choice, class_named

HEAD = re.compile(r"""
    (?P<choice> "[^"]*" (?: (?:,[ ]or[ ]|,[ ]|[ ]or[ ]) "[^"]*" )* )
  | (?P<kind> (?:array_like|ndarray)(?:[ ]of[ ](?:u?int\d*|bool|float\d+))?
            | float | int | bool | str | bytes | path-like | function | dict | list | sequence
            | numpy\.random\.Generator | [A-Z]\w* )
    # function (x, rng) -> x
    (?: (?<=function)[ ](?:of[ ][^,;]+|\([^)]*\)(?:[ ]->[ ][^,;]+)?) )?
    # dict of str to array
    (?: (?<=dict|list)[ ]of[ ][^,;]+ | (?<=sequence)[ ]of[ ][^,;]+ )?
    (?= [ ,;]|$ ) (?! [ ]or[ ](?!None|inf) )""", re.X)
BOUND = r"-?[\w.^]+(?:\([^)]*\))?(?:[-+]\d+)?"


class Line:
    """The line of a parameter, read up to its prose. `kind` is None if all of it is prose.

    Attributes
    ----------
    kind : function (value) -> what the body gets
    conditions : list of function (value, sizes); each raises Refused
    shapes : list of list of str, the shapes allowed; none means any
    symbols : list of str, the names of a number in bounds: its own, and n in "int >= 1; n"
    lacking : list of set of str, for each shape the optional axes that it lacks; such a letter is
        an axis of all arguments or of none: k, if all lines with k are like "shape (n,) or (n, k)"
    optional, infinite, missing : bool, whether None, infinity and NaN are allowed
    none_if : function (sizes) -> bool, whether None is allowed, if that depends on an argument;
        None if it does not
    switch : str, the argument that a condition depends on, or None
    text, prose : str, what was read, and the rest
    """

    def __init__(self, text=""):
        self.kind, self.conditions, self.shapes, self.symbols = None, [], [], []
        self.lacking = []
        self.optional = self.infinite = self.missing = self.is_number = False
        self.none_if = self.switch = None
        self.text, self.prose = "", text
        head = HEAD.match(text)
        if head:
            self.read(head, text)

    def read(self, head, text):
        word = head["kind"]
        choices = re.findall('"([^"]*)"', head[0])
        self.kind = choice(choices) if word is None else KINDS.get(word) or class_named(word)
        end, clause = head.end(), self.next_clause(text, head.end())
        while clause:
            end = clause.end()
            clause = self.next_clause(text, end)
        self.text, self.prose = text[:end], text[end:]
        if self.prose and not self.prose.startswith("; "):
            raise ValueError(f"contract: the prose must follow a semicolon, got {text!r}; "
                             f"read was {self.text!r}")
        is_number = word in ("float", "int")
        if not self.missing and (is_number or word and word.startswith(("array_like", "ndarray"))):
            self.conditions.insert(0, not_nan if self.infinite else finite)
        symbols = re.match(r"; (\w\w?(?:(?:, | and )\w\w?)*)(?=[:;,]|$)", self.prose)
        self.symbols = re.split(", | and ", symbols[1]) if symbols and is_number else []
        self.is_number = is_number

    def next_clause(self, text, start):
        """Read one more condition at `start`; None where the prose begins."""
        for pattern, read in self.CLAUSES:
            clause = pattern.match(text, start)
            if clause:
                read(self, *clause.groups())
                return clause
        return None

    def read_shapes(self, shapes):
        for shape in re.findall(r"\(([^)]*)\)", shapes):
            parts = re.findall(r"[^\s,]+", shape)
            pattern = tuple(int(part) if part.isdigit() else part for part in parts)
            has_run = any(str(part).startswith(("...", "*")) for part in pattern)
            self.shapes.append((fits_run if has_run else fits_axes, pattern))
            self.lacking.append(set())

    def read_interval(self, left, low, high, right):
        self.conditions += [compared(">=" if left == "[" else ">", low),
                            compared("<=" if right == "]" else "<", high)]

    def read_range(self, first, last):
        self.conditions += [compared(">=", first), compared("<=", last)]

    def read_bound(self, sign, bound, switch):
        condition = compared(sign, bound)
        self.switch = switch or self.switch
        self.conditions.append(where(switch, condition) if switch else condition)

    def read_none(self, words, switch, literal):
        value, self.switch = ast.literal_eval(literal), switch
        self.optional, may_be_none = True, words == "or None if"
        self.none_if = lambda sizes: (switch not in sizes
                                      or (sizes[switch] == value) == may_be_none)

    def read_letters(self, letters, sign, bound):
        names = [letter for letter in re.findall(NAME, letters) if letter != "and"]
        self.conditions += [letter_compared(letter, sign, bound) for letter in names]

    def read_word(self, word):
        self.optional |= word == "or None"
        self.infinite |= word == "or inf"
        self.missing |= word == "may hold NaN"
        self.conditions += {"not empty": [not_empty], "not zero": [not_zero],
                            "rows sum to 1": [rows_sum_to_1],
                            "increasing": [in_order(1)],
                            "decreasing": [in_order(-1)]}.get(word, [])

    CLAUSES = [(re.compile(pattern), read) for pattern, read in (
        (r",? shape (\([^)]*\)(?: or \([^)]*\))*)", read_shapes),
        (rf",? in ([\[(])({BOUND}), ([^\])]+(?:\([^)]*\))?)([\])])", read_interval),
        (rf",? in ({BOUND}?)\.\.({BOUND})", read_range),
        (rf",? (>=|<=|>|<) ({BOUND})(?: if (\w+))?", read_bound),
        (r",? (or None if|needed if) (\w+) = (\"[^\"]*\"|None|[\d.]+)", read_none),
        (rf", ([A-Za-z](?:(?:, | and )[A-Za-z])*) (>=|<=) ({BOUND})", read_letters),
        (r",? (any shape|or None|or inf|may hold NaN|not empty|not zero|rows sum to 1|increasing"
         r"|decreasing)\b", read_word))]

    def converted(self, value, sizes):
        """The value that the body gets; its sizes are put into `sizes`."""
        if self.kind is None:
            return value
        if value is None and self.optional and (self.none_if is None or self.none_if(sizes)):
            return value
        value = self.kind(value)
        for symbol in self.symbols:
            known = sizes.setdefault(symbol, value)
            if known is not value and known != value:
                raise Refused(ValueError)
        if self.shapes and not self.fits(value.shape, sizes):
            raise Refused(ValueError, f"shape {value.shape}")
        return value

    def fits(self, shape, sizes):
        """Whether a shape is one of those allowed; the letters that it adds get a size."""
        for (fits, pattern), lacks in zip(self.shapes, self.lacking):
            known = lacks.intersection(sizes)
            if known and any(sizes[letter] is not ABSENT for letter in known):
                continue
            if fits(shape, pattern, sizes):
                for letter in lacks:
                    sizes[letter] = ABSENT
                return True
        return False

    def letters(self):
        """All letters in the shapes."""
        axes = {axis for _, pattern in self.shapes for axis in pattern}
        return {axis for axis in axes if type(axis) is str and not axis.startswith(("...", "*"))}

    def letters_of_all_shapes(self):
        """The letters that are in every shape of this line."""
        return self.letters().intersection(*(pattern for _, pattern in self.shapes))
