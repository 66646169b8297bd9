"""The grammar of contracts: how the line of a parameter is read, and what it asks of a value.

`tinyml.contract` describes the language. A line begins with a kind, a function that turns a value
into what the body gets (`kinds`). Conditions follow (`conditions`); they are tested once the sizes
of all arguments are known. Both raise `Refused`. A `Line` reads them.
"""
from tinyml.grammar.conditions import ABSENT, NAME
from tinyml.grammar.kinds import Refused, shown
from tinyml.grammar.line import Line

__all__ = ["ABSENT", "NAME", "Line", "Refused", "shown"]
