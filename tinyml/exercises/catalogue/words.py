"""Words (10.2.2): short ones for frequent symbols, and no code of whole bits is shorter."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

HUFFMAN, TESTS = "tinyml.compression.coding.huffman", "test_huffman.py"

CHAPTER = Chapter("words", "10.2.2 Huffman codes: short words for frequent symbols", (
    Exercise(
        name="entropy", target=f"{HUFFMAN}:entropy", level=1, minutes=5, keep=1,
        task="Compute the entropy of counts in bits per symbol",
        tests=(f"{TESTS}::test_the_mean_length_is_within_a_bit_of_the_entropy",
               f"{TESTS}::test_powers_of_two_meet_the_entropy_and_permuting_symbols_permutes_nothing_else",
               f"{TESTS}::test_one_symbol_takes_no_bits_and_none_takes_no_bytes"),
        hints=("Shares first. A symbol that never occurs adds nothing, as p log p goes to 0.",
               "p = counts / their sum, of those > 0; H = -sum p log2 p, and 0 if there are none.",
               "p = counts[counts > 0] / max(counts.sum(), 1); return float(...)"),
        mistakes=(
            Mistake("np.log2(p)", "np.log(p)", "Bits have the logarithm to base 2: np.log2."),
            Mistake("counts[counts > 0]", "counts",
                    "0 log 0 is NaN for NumPy and 0 here: leave out what never occurs."),
            Mistake(" / max(counts.sum(dtype=np.float64), 1)", "",
                    "Shares are wanted, which sum to 1: divide by the sum of the counts."),
            Mistake("p @ -np.log2(p)", "p @ np.log2(p)",
                    "The sign: log2 of a share is negative, and H is not."),
            Mistake("p @ -np.log2(p)", "-np.log2(p).mean() if len(p) else 0",
                    "Each -log2 p is weighted with p: frequent symbols count more."))),
    Exercise(
        name="huffman_lengths", target=f"{HUFFMAN}:huffman_lengths", level=3, minutes=30, keep=1,
        after=("entropy",),
        task="Find the word lengths of an optimal code by joining the two rarest again and again",
        tests=(f"{TESTS}::test_the_words_fill_the_tree_and_those_that_occur_have_one",
               f"{TESTS}::test_the_mean_length_is_within_a_bit_of_the_entropy",
               f"{TESTS}::test_no_other_full_code_is_shorter", f"{TESTS}::test_words_have_up_to_56_bits",
               f"{TESTS}::test_one_symbol_takes_no_bits_and_none_takes_no_bytes"),
        hints=("A heap of (count, members): who is joined lies one level deeper than before.",
               "Pop the two rarest, add 1 to the lengths of all members of both, push their union with the "
               "sum of the counts; until one is left. Symbols that never occur are not in the heap and have "
               "NO_WORD.",
               "heap = [(int(counts[i]), 0, [i]) for i where counts > 0]; heapq.heapify(heap); while "
               "len(heap) > 1: two heappop; members = both lists; lengths[members] += 1; heappush(heap, (n + m, "
               "height, members)), height 1 + the larger of both, or leave it out; a ValueError if a length is "
               "above LONGEST"),
        mistakes=(
            Mistake("(int(counts[i]), 0, [i])", "(-int(counts[i]), 0, [i])",
                    "The two rarest are joined; yours joins the most frequent, which gives them the longest "
                    "words."),
            Mistake("lengths[members] += 1", "lengths[rare] += 1",
                    "A joining puts one bit in front of the words of both sides."),
            Mistake("lengths[members] += 1", "lengths[next_rare] += 1",
                    "A joining puts one bit in front of the words of both sides, of the rarest too."),
            Mistake("(n + m,", "(max(n, m),",
                    "The union is as frequent as both sides together: add the counts."),
            Mistake("(n + m,", "(n,",
                    "The union is as frequent as both sides together: add the counts, or it goes on as rare as its "
                    "rarer half."),
            Mistake("    if lengths.max(initial=0) > LONGEST:\n", "    if False:\n",
                    "A word of more than 56 bits must be refused with a ValueError."),
            Mistake("np.where(counts > 0, 0, NO_WORD)",
                    "np.where(counts > 0, int((counts > 0).sum() == 1), NO_WORD)",
                    "A symbol that is all alone needs no bits: its length is 0."),
            Mistake("np.flatnonzero(counts).tolist()", "range(len(counts))",
                    "Symbols that never occur get no word: leave them out of the heap."),
            Mistake("    heapq.heapify(heap)\n",
                    "    if heap:\n"
                    "        return np.where(counts > 0, np.ceil(np.log2(counts.sum() / np.maximum(counts, "
                    "1))), NO_WORD).astype(np.int64)\n",
                    "Rounding -log2 p up (Shannon's code) leaves room in the tree: join the two rarest "
                    "instead."))),
    Exercise(
        name="canonical_codes", target=f"{HUFFMAN}:canonical_codes", level=3, minutes=25, keep=1,
        hide=("_intervals",), after=("huffman_lengths",),
        task="Give symbols their words from the lengths alone: sorted, each starts where the last one ended",
        tests=(f"{TESTS}::test_no_word_begins_another_and_they_rise",
               f"{TESTS}::test_the_longest_words_lose_no_bit",
               f"{TESTS}::test_what_is_encoded_is_decoded_in_as_many_bytes_as_its_words_take"),
        hints=("Sort the symbols that have a word by length, then by symbol. The first word is all zeros; "
               "and the next?",
               "As fractions in units of 2^-56: word j starts at the sum of 2^(56 - l) over all before it, "
               "and its code is that start, shifted right by 56 - l_j. In int64; 0 for symbols without a "
               "word.",
               'order = np.argsort(lengths, kind="stable"), without those of length -1; size = np.int64(1) '
               "<< LONGEST - length; start = size.cumsum() - size; codes[order] = start >> (LONGEST - length)"),
        mistakes=(
            Mistake('order = np.argsort(lengths, kind="stable")', "order = np.arange(len(lengths))",
                    "Shorter words come first: sort by length, then by symbol."),
            Mistake('order = np.argsort(lengths, kind="stable")',
                    "order = np.lexsort((-np.arange(len(lengths)), lengths))",
                    "Of equal lengths the smaller symbol has the smaller word."),
            Mistake("size.cumsum() - size", "size.cumsum() - size[:1]",
                    "A word starts at the sum of all sizes before it, without its own: the first one at 0."),
            Mistake("start >> (LONGEST - length)", "start >> (LONGEST - length.max(initial=0))",
                    "Each word is written with its own number of digits: shift by LONGEST - l_j."),
            Mistake("codes[order] =", "codes[:len(order)] =",
                    "The words belong to the symbols: put them back in the places that the sorting took "
                    "them from."))),
    Exercise(
        name="encode", target=f"{HUFFMAN}:encode", level=2, minutes=20, keep=3, after=("canonical_codes",),
        task="Write the words of the symbols one after the other, eight bits to a byte",
        tests=(f"{TESTS}::test_what_is_encoded_is_decoded_in_as_many_bytes_as_its_words_take",
               f"{TESTS}::test_the_longest_words_lose_no_bit",
               f"{TESTS}::test_one_symbol_takes_no_bits_and_none_takes_no_bytes"),
        hints=("Make an array of all bits, 0 or 1 each; np.packbits makes bytes of it, and fills up the last "
               "one.",
               "The word of symbol s is the number codes[s], written with lengths[s] binary digits, the "
               "highest first.",
               'bits = "".join(f"{codes[s]:0{lengths[s]}b}" for s in symbols if lengths[s]); return '
               "np.packbits(np.array(list(bits), np.uint8)).tobytes(). The library's way goes over the bits of a "
               "word instead of the symbols."),
        mistakes=(
            Mistake("codes[has] >> (back - 1) & 1", "codes[has] >> (lengths[has] - back) & 1",
                    "The first bit of a word is its highest; yours are written backwards."),
            Mistake("np.packbits(bits)", 'np.packbits(bits, bitorder="little")',
                    "The first bit is the highest of its byte, as np.packbits does by itself."),
            Mistake("has = lengths >= back", "has = lengths >= 0",
                    "A short word has no further bits: yours overwrites the end of the word before it."),
            Mistake("range(1, lengths.max(initial=0) + 1)", "range(1, lengths.max(initial=0))",
                    "The longest words lose their first bit: range ends before its end."),
            Mistake("np.packbits(bits)", "np.packbits(np.append(bits, np.ones(-len(bits) % 8, np.uint8)))",
                    "The last byte is filled up with zeros, not with ones."),
            Mistake("np.packbits(bits)", "np.packbits(np.append(np.zeros(-len(bits) % 8, np.uint8), bits))",
                    "The zeros that fill up a byte come after the last word, not before the first."),
            Mistake("np.packbits(bits).tobytes()", "bits.tobytes()",
                    "Eight bits go into a byte; yours takes a byte for each bit."))),
    Exercise(
        name="decode", target=f"{HUFFMAN}:decode", level=3, minutes=40, keep=3, hide=("_windows", "_walk"),
        after=("encode",),
        task="Read the first symbols of a stream back, word after word",
        tests=(f"{TESTS}::test_what_is_encoded_is_decoded_in_as_many_bytes_as_its_words_take",
               f"{TESTS}::test_the_longest_words_lose_no_bit", f"{TESTS}::test_a_stream_cut_short_is_refused"),
        hints=("The simple way is a loop: read bits until what was read is a word, note its symbol, begin "
               "again.",
               "bits = np.unpackbits(np.frombuffer(data, np.uint8)). The word at a place: take the 56 bits "
               "from there (zeros behind the end) as a number; it is the last word j whose start[j] is not "
               "above it. Its symbol is order[j], and length[j] bits later the next word begins.",
               "number = padded[at:at + LONGEST] @ (np.int64(1) << np.arange(LONGEST)[::-1]), padded in int64: a "
               'float loses bits. For each of count symbols: j = np.searchsorted(start, number, side="right") - 1; '
               "note order[j]; at += length[j]; a ValueError if at goes beyond 8 len(data), each time. Return an "
               "array of int64"),
        mistakes=(
            Mistake('side="right") - 1', 'side="left") - 1',
                    "A number that is the start of a word belongs to this word, not to the one before: side "
                    "is right."),
            Mistake("return order[np.concatenate(parts)]", "return np.concatenate(parts)",
                    "You return places in the sorted list of words: order says which symbols they are."),
            Mistake("at += steps[at]", "at += 1",
                    "The next word begins where this one ended: as many bits later as it is long."),
            Mistake("np.arange(8, 0, -1, dtype=np.uint64)", "np.arange(1, 9, dtype=np.uint64)",
                    "The first bit of a byte is its highest: the earlier a word begins, the further it is "
                    "shifted."),
            Mistake("    if count or at > 8 * len(data):\n", "    if False:\n",
                    "Data that ends before the last symbol must be refused with a ValueError."))),
))
