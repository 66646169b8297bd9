"""Graphs for demos/masked_edges.py: edges (m, 2) with i < j, and the number of nodes.

The characters of Les Miserables, joined if they meet in a chapter, are those of D. E. Knuth 1993,
The Stanford GraphBase: 77 characters, 254 edges. The data are in the public domain.
"""
import numpy as np

from tinyml.selfsupervised.masked_edges import karate_club

# i: every j > i that has an edge with i; 2-10 stands for 2, 3 ... 10
LES_MISERABLES = """
0: 1; 1: 2-10; 2: 3 10; 3: 10; 10: 11-15 23-29 31-38 43 44 48 49 51 55 58 64 68-72; 12: 23;
16: 17-23; 17: 18-23 26 55; 18: 19-23; 19: 20-23; 20: 21-23; 21: 22 23; 22: 23;
23: 24 25 27 29-31; 24: 25-27 41 42 50 68-70; 25: 26 27 39-42 48 55 68-71 75;
26: 27 43 49 51 54 55 72; 27: 28 29 31 33 43 48 58 68-72; 28: 44 45; 29: 34-38; 30: 31;
34: 35-38; 35: 36-38; 36: 37 38; 37: 38; 39: 52 55; 41: 42 55 57 62 68-71 75; 46: 47 48;
48: 55 57-66 68 69 71 73-76; 49: 50 51 54-56; 51: 52-55; 54: 55; 55: 56-59 61-65;
57: 58 59 61-65 67; 58: 59-66 70 76; 59: 60-66; 60: 61-66; 61: 62-66; 62: 63-66 76;
63: 64-66 76; 64: 65 66 76; 65: 66 76; 66: 76; 68: 69-71 75; 69: 70 71 75; 70: 71 75; 71: 75;
73: 74
"""


def les_miserables():
    edges = []
    for row in LES_MISERABLES.split(";"):
        i, others = row.split(":")
        for part in others.split():
            first, _, last = part.partition("-")
            edges += [(int(i), j) for j in range(int(first), int(last or first) + 1)]
    return np.array(edges), 77


def blocks():
    """A stochastic block model: 4 blocks of 15 nodes, p = 0.3 within and 0.03 between (Holland et al. 1983)."""
    n_nodes = 60
    block = np.arange(n_nodes) // 15
    same = block[:, None] == block[None, :]
    p = np.where(same, 0.3, 0.03)
    joined = np.random.default_rng(0).random((n_nodes, n_nodes)) < p
    return np.argwhere(np.triu(joined, 1)), n_nodes


GRAPHS = {"karate": karate_club, "les-miserables": les_miserables, "blocks": blocks}
