"""Huffman codes (10.2): short codewords for frequent symbols."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("coding", "10.2 Huffman codes: short codewords for frequent symbols", (
    Exercise(
        name="entropy",
        target="tinyml.compression.coding.huffman:entropy",
        level=1, minutes=5,
        task="Compute the entropy of counts in bits per symbol",
        tests=laws_of(
            "huffman",
            "test_the_mean_length_is_within_a_bit_of_the_entropy",
            "test_powers_of_two_reach_the_entropy_and_the_order_of_symbols_does_not_matter",
            "test_a_single_symbol_takes_no_bits_and_no_symbol_takes_no_bytes"),
        hints=("First divide the counts by their sum. A symbol that never occurs adds nothing, "
               "as p log p tends to 0.",
               "p = counts / their sum, for the counts > 0; H = -sum p log2 p, which is 0 if "
               "there are none.",
               "p = counts[counts > 0] / ...; return float(...), a product of p with the "
               "negative logarithms"),
        also=("The result is a Python float.",),
        mistakes=(
            Mistake("np.log2(p)", "np.log(p)",
                    "The entropy in bits takes logarithms to base 2: np.log2."),
            Mistake("counts[counts > 0]", "counts",
                    "0 log 0 is NaN in NumPy, but counts as 0 here: leave out symbols that "
                    "never occur."),
            Mistake(" / counts.sum(dtype=float)", "",
                    "The p_i are frequencies that sum to 1: divide the counts by their sum."),
            Mistake("counts[counts > 0] / counts.sum(dtype=float)",
                    "(counts + 1) / (counts.sum(dtype=float) + len(counts))",
                    "Nothing is added to the counts: p_i is a share of what occurs."),
            Mistake("p @ -np.log2(p)", "p @ np.log2(p)",
                    "The sign: log2 p is negative, and H is not."),
            Mistake("p @ -np.log2(p)", "-np.log2(p).mean() if len(p) else 0",
                    "Each -log2 p is weighted by p: frequent symbols count more."),
            Mistake("p @ -np.log2(p)", "-np.log2(p).sum()",
                    "Each term has the weight p_i."),
            Mistake("counts.sum(dtype=float)", "len(counts)",
                    "p_i is a share of all that occurs: divide by the sum of the counts."),
            Mistake("p @ -np.log2(p)", "np.log2(max(len(p), 1))",
                    "This is the entropy if all symbols are equally likely, its maximum."),
            Mistake("np.log2(p)", "np.log2(p + 1e-12)",
                    "Nothing is added to p: leave out the symbols that never occur, and log2 "
                    "p is exact."),
            Mistake("np.log2(p)", "np.log2(p + 1e-9)",
                    "Nothing is added to p: leave out the symbols that never occur, and log2 "
                    "p is exact."),
            Mistake("p @ -np.log2(p)", "(p * -np.log2(p)).mean() if len(p) else 0",
                    "H is the sum of the terms -p log2 p, not their mean."),
            Mistake("p @ -np.log2(p)", "counts[counts > 0] @ -np.log2(p)",
                    "H is in bits per symbol; yours is the number of bits of all symbols."),
            Mistake("np.log2(p)", "np.log10(p)",
                    "The entropy in bits takes logarithms to base 2: np.log2."),
            Mistake("counts.sum(dtype=float)", "max(counts.max(initial=0), 1)",
                    "p_i is a share of all that occurs: divide by the sum of the counts, not "
                    "by the largest."),
            Mistake("    return float(",
                    "    if not len(p):\n"
                    '        return float("nan")\n'
                    "    return float(",
                    "Without any symbol the entropy is 0."),
            Mistake("p @ -np.log2(p)", "2.0 ** (p @ -np.log2(p))",
                    "H itself is wanted, not 2^H."),
            Mistake("p @ -np.log2(p)", "p @ -np.log2(p) / max(np.log2(max(len(p), 1)), 1)",
                    "H is not divided by its largest value, log2 K."),
            Mistake("counts[counts > 0]", "counts[counts > 1]",
                    "A symbol that occurs once counts too: leave out only those that never "
                    "occur."))),
    Exercise(
        name="huffman_lengths",
        target="tinyml.compression.coding.huffman:huffman_lengths",
        level=3, minutes=30,
        after=("entropy",),
        task="Find the codeword lengths of an optimal code by merging the two least frequent "
             "symbols again and again",
        tests=laws_of(
            "huffman",
            "test_the_codewords_fill_the_tree_and_every_used_symbol_has_one",
            "test_the_mean_length_is_within_a_bit_of_the_entropy",
            "test_no_other_full_code_is_shorter",
            "test_codewords_have_up_to_56_bits",
            "test_a_single_symbol_takes_no_bits_and_no_symbol_takes_no_bytes"),
        hints=("Keep a heap of (count, symbols). After a merge, every symbol of both sides is "
               "one level deeper.",
               "Pop the two smallest counts, add 1 to the lengths of all symbols of both, push "
               "the union with the sum of the counts; repeat until one is left. Symbols that "
               "never occur are not in the heap and get the length UNUSED.",
               "trees = [(int(counts[i]), 0, [i]) for i where counts > 0]; "
               "heapq.heapify(trees); while len(trees) > 1: two heappop; merged = both lists; "
               "lengths[merged] += 1; heappush(trees, (sum of the counts, height, merged)), "
               "height 1 + the larger of both, or leave it out; a ValueError if a length is "
               "above MAX_LENGTH"),
        also=("Equal counts may be merged in any order.",
              "Codewords of more than MAX_LENGTH bits raise ValueError: 'huffman_lengths: "
              "counts must give ...'."),
        mistakes=(
            Mistake("(int(counts[i]), 0, [i])", "(-int(counts[i]), 0, [i])",
                    "The two least frequent are merged; yours merges the most frequent, "
                    "which gives them the longest codewords."),
            Mistake("lengths[merged] += 1", "lengths[rarest] += 1",
                    "A merge puts one bit in front of the codewords of both sides."),
            Mistake("lengths[merged] += 1", "lengths[next_rarest] += 1",
                    "A merge puts one bit in front of the codewords of both sides, the "
                    "rarer side too."),
            Mistake("(count + next_count,", "(max(count, next_count),",
                    "The union is as frequent as both sides together: add the counts."),
            Mistake("(count + next_count,", "(count,",
                    "The union is as frequent as both sides together: add the counts, or it "
                    "stays as rare as its rarer half."),
            Mistake("    if lengths.max(initial=0) > MAX_LENGTH:\n",
                    "    if False:\n",
                    "A codeword of more than 56 bits must be refused with a ValueError."),
            Mistake("np.where(counts > 0, 0, UNUSED)",
                    "np.where(counts > 0, int((counts > 0).sum() == 1), UNUSED)",
                    "A single symbol needs no bits: its length is 0."),
            Mistake("np.flatnonzero(counts).tolist()", "range(len(counts))",
                    "Symbols that never occur get no codeword: leave them out of the heap."),
            Mistake("    heapq.heapify(trees)\n",
                    "    if trees:\n"
                    "        return np.where(counts > 0, np.ceil(np.log2(counts.sum() / "
                    "np.maximum(counts, 1))), UNUSED).astype(np.int64)\n",
                    "Rounding -log2 p up (Shannon's code) leaves room in the tree: merge "
                    "the two least frequent instead."),
            Mistake("np.where(counts > 0, 0, UNUSED)", "np.zeros(len(counts), int)",
                    "A symbol that never occurs has the length UNUSED = -1, not 0."),
            Mistake("    return lengths", "    return np.where(counts > 0, lengths, 0)",
                    "A symbol that never occurs has the length UNUSED = -1, not 0."),
            Mistake("    if lengths.max(initial=0) > MAX_LENGTH:\n",
                    "    lengths = np.minimum(lengths, MAX_LENGTH)\n"
                    "    if lengths.max(initial=0) > MAX_LENGTH:\n",
                    "A codeword of more than 56 bits must be refused with a ValueError: cut "
                    "to 56, the lengths belong to no code."),
            Mistake("> MAX_LENGTH:", ">= MAX_LENGTH:",
                    "A codeword of 56 bits is allowed: only longer ones are refused."),
            Mistake("        heapq.heappush(trees, tree)", "        trees.insert(0, tree)",
                    "The union goes back among the others in the order of its count: "
                    "heappush, or sort again."),
            Mistake("(count + next_count,", "(min(count, next_count),",
                    "The union is as frequent as both sides together: add the counts."),
            Mistake("(count + next_count,", "(0,",
                    "The union is as frequent as both sides together: add the counts."),
            Mistake("(count + next_count,", "(count * next_count,",
                    "The union is as frequent as both sides together: add the counts."),
            Mistake("while len(trees) > 1:", "while len(trees) > 2:",
                    "Merge until one tree is left: yours stops at two."),
            Mistake("    heapq.heapify(trees)\n", "    trees.sort(reverse=True)\n",
                    "The least frequent come first: sort upwards, or make a heap."),
            Mistake("    return lengths",
                    "    return np.maximum(lengths, np.where(counts > 0, 1, UNUSED))",
                    "A single symbol needs no bits: its length is 0."),
            Mistake("    heapq.heapify(trees)\n",
                    "    if trees:\n"
                    "        fixed = max(len(trees) - 1, 0).bit_length()\n"
                    "        return np.where(counts > 0, fixed, UNUSED)\n",
                    "Frequent symbols get shorter codewords: yours all have the same length."))),
    Exercise(
        name="canonical_codes",
        target="tinyml.compression.coding.huffman:canonical_codes",
        level=3, minutes=25,
        after=("huffman_lengths",),
        task="Find the codewords from their lengths alone: sorted, each starts where the last "
             "one ended",
        tests=laws_of(
            "huffman",
            "test_no_codeword_is_a_prefix_of_another_and_they_increase",
            "test_the_longest_codewords_lose_no_bit",
            "test_encoded_symbols_come_back_and_take_as_many_bytes_as_their_codewords",
            "test_impossible_codes_are_refused"),
        hints=("Sort the symbols that have a codeword by length, then by symbol. The first "
               "codeword is all zeros; and the next?",
               "In units of 2^-56, codeword j starts at the sum of 2^(56 - l) over the codewords "
               "before it. Shift this start right by 56 - l_j, and write the result with l_j "
               "binary digits. Use Python's integers.",
               'start = 0; for i in np.argsort(lengths, kind="stable"): skip it if unused; the '
               'codeword is f"{start >> MAX_LENGTH - l:0{l}b}", or "" for l = 0; then start += '
               '1 << MAX_LENGTH - l'),
        also=('_check_kraft("canonical_codes", lengths) refuses lengths that belong to no code: '
              'call it first.',
              "The codewords are str, and None for unused symbols."),
        mistakes=(
            Mistake('f"{digits:0{length}b}" if length else ""',
                    'f"{digits:b}"',
                    "Leading zeros belong to the codeword: write it with exactly l_j digits."),
            Mistake(' if length else ""', "",
                    "A single symbol has the length 0 and the empty codeword, '': a format with 0 "
                    "digits still writes one."),
            Mistake('np.argsort(lengths, kind="stable").tolist()', "range(len(lengths))",
                    "Shorter codewords come first: sort by length, then by symbol."),
            Mistake('np.argsort(lengths, kind="stable")',
                    "np.lexsort((-np.arange(len(lengths)), lengths))",
                    "Of equal lengths the smaller symbol has the smaller codeword."),
            Mistake("            digits = start >> MAX_LENGTH - length\n",
                    "            digits = (start + (1 << MAX_LENGTH - length) >> MAX_LENGTH - "
                    "length) % (1 << length)\n",
                    "A codeword starts at the sum of the sizes before it, without its own: the "
                    "first starts at 0."),
            Mistake(":0{length}b}", ":b}",
                    "Leading zeros belong to the codeword: write it with exactly l_j digits."),
            Mistake("codewords[i] = ", "codewords[codewords.index(None)] = ",
                    "The codewords belong to the symbols: put each in the place of its "
                    "symbol, not in sorted order."),
            Mistake('    _check_kraft("canonical_codes", lengths)\n',
                    "",
                    "Lengths whose sum of 2^-l is not 1 belong to no Huffman code: "
                    "_check_kraft refuses them."),
            Mistake("start += 1 << MAX_LENGTH - length", "start += 1",
                    "In units of 2^-56 a codeword of l bits takes 2^(56 - l): shift the 1."),
            Mistake('f"{digits:0{length}b}" if', 'f"{digits:0{length}b}"[::-1] if',
                    "The first digit of the fraction comes first; yours are written "
                    "backwards."),
            Mistake("[None] * len(lengths)", '[""] * len(lengths)',
                    "Unused symbols have None; the empty codeword is that of a single "
                    "symbol."),
            Mistake("            digits = start >> MAX_LENGTH - length\n"
                    '            codewords[i] = f"{digits:0{length}b}" if length else ""\n'
                    "            start += 1 << MAX_LENGTH - length\n",
                    '            codewords[i] = f"{start:0{length}b}"[-length:] if length '
                    'else ""\n'
                    "            start += 1\n",
                    "When the length grows from l to l', the next codeword gets l' - l zeros "
                    "behind: the number is shifted."),
            Mistake('np.argsort(lengths, kind="stable").tolist()',
                    'np.argsort(-lengths, kind="stable").tolist()',
                    "Shorter codewords come first: sort by length, upwards."),
            Mistake("start += 1 << MAX_LENGTH - length",
                    "start += 1 << MAX_LENGTH - length if length < 30 else 0",
                    "A long codeword takes its part of [0, 1) as well: compute in whole "
                    "numbers, which have all the digits."),
            Mistake("digits = start >> MAX_LENGTH - length",
                    "digits = int(np.float32(start / 2 ** MAX_LENGTH) * 2 ** length)",
                    "A float32 has not enough digits for 56 bits: compute in whole numbers."),
            Mistake("digits = start >> MAX_LENGTH - length",
                    "digits = (1 << length) - 1 - (start >> MAX_LENGTH - length)",
                    "The first codeword is all zeros; yours is all ones."),
            Mistake("    return codewords", "    return [w for w in codewords if w is not None]",
                    "The list has an entry for each symbol: None for those that are unused."),
            Mistake("    return codewords",
                    '    return [None if w is None else int(w or "0", 2) for w in codewords]',
                    "The codewords are str: as numbers they lose their zeros in front."),
            Mistake("    return codewords", "    return [None if not w else w for w in codewords]",
                    "A single symbol has the empty codeword, '', not None."))),
    Exercise(
        name="encode",
        target="tinyml.compression.coding.huffman:encode",
        level=2, minutes=20,
        after=("canonical_codes",),
        hide=("_bytes",),
        task="Write the codewords of the symbols one after the other, eight bits to a byte",
        tests=laws_of(
            "huffman",
            "test_encoded_symbols_come_back_and_take_as_many_bytes_as_their_codewords",
            "test_the_longest_codewords_lose_no_bit",
            "test_a_single_symbol_takes_no_bits_and_no_symbol_takes_no_bytes",
            "test_impossible_codes_are_refused"),
        hints=("canonical_codes gives the codeword of each symbol as a text. Join them, and "
               "make bytes of the bits.",
               "np.packbits makes bytes of an array of zeros and ones, eight to a byte, the "
               "first the highest, and fills the last byte with zeros. A symbol whose length is "
               "UNUSED has no codeword: ValueError.",
               'bits = "".join(codewords[i] for i in symbols.ravel()); return '
               'np.packbits(np.array(list(bits), np.uint8)).tobytes()'),
        also=("A symbol without a codeword raises ValueError: 'encode: symbols must have a "
              "codeword ...'.",),
        mistakes=(
            Mistake("[codewords[i] for i", "[codewords[i].lstrip('0') or codewords[i][:1] for i",
                    "The zeros at the front of a codeword belong to it: as a number it has lost "
                    "them."),
            Mistake("[codewords[i] for i", "[codewords[i][::-1] for i",
                    "The first bit of a codeword comes first; yours are written backwards."),
            Mistake('characters == ord("1")', 'characters == ord("1"), bitorder="little"',
                    "The first bit is the highest of its byte, which is the default of "
                    "np.packbits."),
            Mistake("symbols.ravel()", "np.unique(symbols)",
                    "Every symbol is written, in its order and as often as it occurs."),
            Mistake("np.frombuffer(bits.encode(), np.uint8)",
                    'np.frombuffer((bits + "1" * (-len(bits) % 8)).encode(), np.uint8)',
                    "The last byte is filled up with zeros, not with ones."),
            Mistake("np.frombuffer(bits.encode(), np.uint8)",
                    'np.frombuffer((-len(bits) % 8 * "0" + bits).encode(), np.uint8)',
                    "The zeros that fill up a byte come after the last codeword, not before "
                    "the first."),
            Mistake('np.packbits(characters == ord("1")).tobytes()',
                    '(characters == ord("1")).tobytes()',
                    "Eight bits go into a byte; yours takes a byte for each bit."),
            Mistake("    if (lengths[symbols] == UNUSED).any():\n",
                    "    if False:\n",
                    "A symbol without a codeword must be refused with a ValueError."),
            Mistake("symbols.ravel()", "symbols.ravel()[::-1]",
                    "The first symbol is written first."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    '    bits += "0" * (8 - len(bits) % 8)\n'
                    "    return _bytes(bits)",
                    "If the last byte is full, no byte of zeros follows: -len(bits) % 8 "
                    "zeros fill it."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    "    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))",
                    "Zeros fill the last byte at its end: yours fill it at its front."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    "    return _bytes(bits[:len(bits) // 8 * 8])",
                    "The last codewords do not fill a byte, and are missing: add zeros "
                    "behind them."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    '    return int(bits or "0", 2).to_bytes(-(-len(bits) // 8), "big")',
                    "The zeros that fill up a byte come after the last codeword, not before "
                    "the first."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    '    bits += "0" * (-len(bits) % 8)\n'
                    '    whole = int(bits or "0", 2)\n'
                    '    return whole.to_bytes(-(-whole.bit_length() // 8), "big")',
                    "Bytes of zeros at the front belong to the code as well: as one number "
                    "they are lost."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    '    return _bytes(bits) or b"\\x00"',
                    'No bits need no bytes: the result is b"".'),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    "    return bits",
                    "Return bytes, eight bits each, not a text of zeros and ones."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    "    return bits.encode()",
                    "Eight bits go into a byte; yours takes a byte for each bit."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    return b"".join([_bytes(codewords[i]) for i in '
                    "symbols.ravel().tolist()])",
                    "The codewords follow each other without gaps: only the last byte of all "
                    "is filled up."),
            Mistake("symbols.ravel().tolist()", "symbols.T.ravel().tolist()",
                    "The symbols are written in reading order, row by row."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    '    bits += "0" * (-len(bits) % 8)\n'
                    "    return bytes(int(bits[i:i + 8][::-1], 2) for i in range(0, "
                    "len(bits), 8))",
                    "The first bit is the highest of its byte, which is the default of "
                    "np.packbits."),
            Mistake("    if (lengths[symbols] == UNUSED).any():\n",
                    '    codewords = [word or "" for word in codewords]\n'
                    "    if False:\n",
                    "A symbol without a codeword must be refused with a ValueError."),
            Mistake('    return _bytes("".join([codewords[i] for i in '
                    "symbols.ravel().tolist()]))",
                    '    bits = "".join([codewords[i] for i in symbols.ravel().tolist()])\n'
                    '    return _bytes(bits + "0" * (8 - len(bits) % 8) if bits else bits)',
                    "If the last byte is full, no byte of zeros follows: -len(bits) % 8 zeros fill it."))),
    Exercise(
        name="decode",
        target="tinyml.compression.coding.huffman:decode",
        level=3, minutes=30,
        after=("encode",),
        hide=("_bits",),
        task="Read the first symbols of encoded data back, codeword after codeword",
        tests=laws_of(
            "huffman",
            "test_encoded_symbols_come_back_and_take_as_many_bytes_as_their_codewords",
            "test_the_longest_codewords_lose_no_bit",
            "test_a_single_symbol_takes_no_bits_and_no_symbol_takes_no_bytes",
            "test_truncated_data_is_refused"),
        hints=("Read bits until they are a codeword, append its symbol, and start again.",
               'A dict from codewords to symbols says when a codeword is complete. '
               'np.unpackbits, or f"{byte:08b}", gives the bits of a byte. A single symbol has '
               'the codeword "", which takes no bits.',
               'symbols, word = [], ""; for every bit: word += bit; if word in symbol_of: append '
               "the symbol, and begin with an empty word; stop after count symbols. A ValueError "
               "if there are fewer. Return an array of int64"),
        also=("Data that ends before the last symbol raises ValueError: 'decode: data must hold "
              "...'.",
              "The result has dtype int64."),
        mistakes=(
            Mistake('            word = ""\n',
                    "",
                    "The next codeword begins where this one ended: start again with an "
                    "empty word."),
            Mistake("                break\n",
                    "                return np.array(symbols[::-1], np.int64)\n",
                    "The symbols come back in the order in which they were written."),
            Mistake('f"{byte:08b}"', 'f"{byte:b}"',
                    "Every byte has eight bits, the zeros at its front too."),
            Mistake('f"{byte:08b}"', 'f"{byte:08b}"[::-1]',
                    "The first bit of a byte is its highest."),
            Mistake("    if len(symbols) < count:\n",
                    "    if False:\n",
                    "Data that ends before the last symbol must be refused with a "
                    "ValueError."),
            Mistake("            if len(symbols) == count:\n",
                    "            if len(symbols) > count:\n",
                    "Stop after count symbols: the zeros that fill the last byte, and "
                    "whatever follows, are no codewords."),
            Mistake("np.array(symbols, np.int64)", "np.array(symbols, np.int32)",
                    "The result has dtype int64."),
            Mistake("            symbols.append(symbol_of[word])\n",
                    "            symbols.append(int(word, 2))\n",
                    "Append the symbol that belongs to the codeword, not the number that its "
                    "bits are."),
            Mistake("    if len(symbols) < count:\n", "    if not data and count:\n",
                    "Data that ends before the last symbol must be refused with a "
                    "ValueError, whatever it holds."),
            Mistake('    if "" in symbol_of:', "    if False:",
                    "A single symbol has the empty codeword, and takes no bits: return it "
                    "count times."),
            Mistake("data[:most_bytes]", "data[:-1]",
                    "The last byte holds codewords too: the zeros that fill it do no harm."),
            Mistake("            if len(symbols) == count:\n",
                    "            if len(symbols) == count - 1:\n",
                    "Stop after count symbols: yours stops one too early."),
            Mistake("word += bit", "word = bit + word",
                    "The bits of a codeword follow each other: put the next one behind."),
            Mistake("return np.array(symbols, np.int64)", "return np.array(symbols)",
                    "np.array([]) is float64: without symbols, too, the result has dtype int64."),
            Mistake("return np.array(symbols, np.int64)", "return symbols",
                    "Return an array of int64, not a list."),
            Mistake('np.full(count, symbol_of[""])', "np.zeros(count, np.int64)",
                    "The single symbol need not be 0: it is the one with the empty codeword."),
            Mistake("data[:most_bytes]", "data[:count]",
                    "Codewords may be longer than a byte: count symbols can take more than "
                    "count bytes."),
            Mistake("    return np.array(symbols, np.int64)",
                    "    if len(data) > (sum(len(codewords[i]) for i in symbols) + 7) // 8:\n"
                    '        raise ValueError("decode: data must end after the last codeword")\n'
                    "    return np.array(symbols, np.int64)",
                    "Anything after the last codeword is ignored: it is no error."))),
))
