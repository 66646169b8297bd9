"""Entropy coding and a file format: how a compressed model becomes a small file.

The lecture notes stop where weights are pruned, shared or rounded. This folder takes the
last step: it turns such weights into bytes, without loss. If you follow the notes, you
may skip it. Read it to see where the sizes in bytes come from, and how entropy coding
works.

Read in this order:

    huffman       short codewords for frequent symbols; the entropy as the limit
    arithmetic    a fraction of a bit per symbol, with probabilities learned on the way
    sparse_codes  the codes of a pruned matrix: store only those that are not 0, and their places
    codings       the shortest of several codings for each array
    storage       a whole model in one file: `save_compressed`, `load_compressed`
    byte_stream   helpers of the last two: reading bytes in order
"""
