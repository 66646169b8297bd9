"""The papers: where a module cites them, what they claim, and what the demos beside measured."""
import html
import re

from common import show

from book.library import module
from book.pages import seen
from book.prose import inline

CITATION = re.compile(r"((?:van den )?\b[A-Z][a-z][\w-]*(?:(?:,| and)? (?:[A-Z][\w-]*|et al\.?)|,)*) ((?:18|19|20)\d\d)\b")

CLAIMS = {    # first author and year: what the paper says that is used here
    "Ali 2019": "Gradient flow stopped at time t has nearly the risk of ridge with lambda = 1/t; never more than 1.69 times it.",
    "Arthur 2007": "Centers drawn in proportion to the squared distance give a start of k-means that is never far from the best.",
    "Bagnall 2018": "A common archive, and a text format, for series of several sensors.",
    "Banner 2019": "With the clipping that minimises the squared error, bias correction and bits by range, 4 bits are enough after training.",
    "Barabasi 1999": "New links go to nodes that have many: so the degrees of a growing network follow a power law.",
    "Bartlett 2020": "The minimum-norm fit of pure noise is harmless if the small eigenvalues of the covariance are many and even.",
    "Belkin 2019": "The test error has a second descent beyond the interpolation threshold, for random features, networks and forests.",
    "Belkin 2020": "For Gaussian features the risk of the minimum-norm fit has a closed form for every p, with a peak at p = n.",
    "Bengio 2013": "Through a threshold or a rounding, pass the gradient on as if it were not there.",
    "Breiman 1984": "Trees by greedy splits, and the cost of impurity.",
    "Breiman 2001": "Averaging trees grown on random subsets lowers the variance and leaves the bias.",
    "Chan 1988": "The circulant matrix nearest to a given one has the means of its diagonals.",
    "Chen 2020": "Contrastive learning needs strong views, a projection head and a temperature; then a linear probe does well.",
    "Chen 2021": "A predictor and a stopped gradient are enough against collapse; negatives and momentum are not needed.",
    "Cheng 2015": "Circulant layers have n numbers in place of n^2, a product in O(n log n), and lose little accuracy.",
    "Cheng 2017": "Compression has four families: pruning and sharing, low rank, compact filters, distillation.",
    "Courbariaux 2015": "Signs in the forward and backward pass, real weights in the updates: one bit per weight, and it even regularises.",
    "Dau 2019": "A common archive of univariate series.",
    "Denton 2014": "The filters of a trained network are nearly of low rank: twice as fast for a point of accuracy.",
    "Deutsch 1996": "DEFLATE: repeated strings and Huffman codes in one stream.",
    "Devlin 2019": "Predict 15 % of the tokens; of these show [MASK] for 80 %, a random token for 10 %, the token itself for 10 %.",
    "Ding 2017": "Circulant blocks trade numbers for accuracy in steps, at O(n log n) per block.",
    "Dobriban 2018": "The risk of ridge with the best penalty has a closed form in the limit of many samples and features.",
    "Dosovitskiy 2021": "An image is a sequence of patches for a transformer.",
    "Efraimidis 2006": "A weighted sample of fixed size can be kept in one pass.",
    "Eldele 2021": "Series learn without labels if the context of one view must predict the future of the other.",
    "Esser 2020": "The step of a quantizer can be learned by gradient descent too.",
    "Geman 1992": "The expected error of a learner is bias squared plus variance plus noise.",
    "Geurts 2006": "Cuts at thresholds drawn at random make trees differ as well, and are cheaper to find than the best ones.",
    "Golub 1979": "The penalty of ridge can be chosen from the training data alone, without knowing the noise.",
    "Grill 2020": "One view predicts the features of the other, made by a slow average of the network: no negatives.",
    "Han 2015": "Nine tenths of the weights can go without loss, if the rest is trained again.",
    "Han 2016": "Prune, share, code: LeNet-300-100 becomes 40 times and LeNet-5 39 times smaller without loss.",
    "Hanley 1982": "The area under the ROC curve is the probability that a positive scores above a negative.",
    "Hastie 2022": "The risk of ridgeless least squares in the limit of many samples and features: it explodes at p = n and falls again.",
    "He 2016": "A hundred layers train, if each adds to its input; three thin convolutions, the bottleneck, make them affordable.",
    "He 2020": "A queue of keys made by a slow average of the encoder gives many negatives for small batches.",
    "He 2022": "Hide three quarters of the patches, encode the rest, and let a small decoder restore the image.",
    "Heckel 2021": "Epoch-wise double descent arises where parts of a model learn at different speeds; other steps remove it.",
    "Hinton 2015": "A student trained on softened outputs of a teacher even recognises a class that it was never shown.",
    "Howard 2017": "Depthwise-separable convolutions take 1/O + 1/K^2 of the multiplications, and lose about a point on ImageNet.",
    "Huffman 1952": "The shortest prefix code for given symbol counts, by merging the two rarest.",
    "Iandola 2016": "AlexNet's accuracy with a fiftieth of its weights: few channels in front of most filters, and most filters 1 x 1.",
    "Jacob 2017": "The two roundings of integer products: the doubled high half, and the shift.",
    "Jacob 2018": "Inference in 8-bit integers alone, with training that sees the rounding, costs about two points at most.",
    "Kipf 2016": "A graph network trained to restore edges finds those that are missing.",
    "Kipf 2017": "A graph layer is a product with the normalised adjacency matrix.",
    "Li 2016": "Weights -1, 0 and 1 with a scale, at the threshold 0.7 mean |w|, are nearly as good as real ones.",
    "Li 2017": "Whole filters with small norms can go; the network becomes faster without sparse products.",
    "Liben-Nowell 2007": "Common neighbours are a strong guess of missing links.",
    "Lloyd 1982": "Assign to the nearest, move to the mean: each step lowers the error.",
    "Mahoney 2005": "A binary arithmetic coder that never needs to carry.",
    "Molchanov 2016": "The first-order Taylor term of the loss ranks units nearly as the oracle does.",
    "Nakkiran 2020": "Networks have a second descent too: over width, over epochs, and more data can hurt.",
    "Nocedal 2006": "L-BFGS: a quasi-Newton step from the last few gradients.",
    "Polyak 1964": "Momentum speeds up descent on a quadratic from kappa to sqrt(kappa) steps.",
    "Rabiner 1989": "Forward and backward sums give the posterior of every hidden state.",
    "Rahimi 2007": "Random cosines are features whose inner product is nearly a kernel.",
    "Rastegari 2016": "The mean of |w| is the best scale for the signs of a filter; products become XNOR and counts of bits.",
    "Rissanen 1979": "A message is one number in an interval; its length is the entropy.",
    "Saad 2003": "Compressed sparse rows, and their product.",
    "Schwartz 1964": "Canonical codes: lengths alone say the whole code.",
    "Simard 2003": "Distorted copies are the cheapest training data for digits.",
    "Srebro 2003": "With a weight for each entry, the nearest matrix of low rank has no closed form; with products of row and column weights it has.",
    "Strohmer 2009": "Kaczmarz with rows drawn by their norms converges exponentially, to the minimum-norm solution.",
    "Tai 2016": "The best separable filters have a closed form, by one SVD.",
    "Tsigler 2023": "The bias of minimum-norm fits, and ridge with a negative penalty.",
    "Um 2017": "Jitter, scaling, permutation and cropping as views of sensor data.",
    "Tucker 1966": "A table with three sides has factors for each of them, and a core in which they meet.",
    "van den Oord 2018": "Identifying the positive among N samples bounds mutual information by log N minus the loss.",
    "Vaswani 2017": "Attention with sine positions replaces recurrence.",
    "Wang 2020": "The contrastive loss pulls positives together and spreads all features evenly over the sphere.",
    "Wilson 2017": "Adaptive methods can converge to other solutions than gradient descent, and generalise worse.",
    "Witten 1987": "Arithmetic coding with integers, in a page of C.",
    "Wu 2018": "Nearest neighbours among features of single images classify well.",
    "Zachary 1977": "A karate club that split; the network of friendships says who went where.",
    "Zhong 2020": "Erase random rectangles of training images.",
    "Zhu 2017": "Prune gradually on a cubic schedule; a large sparse network beats a small dense one.",
}


def citations(doc):
    """(key, citation) of every paper that the "Sources" of a module's docstring name."""
    sources = re.split(r"\n\s*\n", doc.partition("Source")[2].partition(":")[2])[0]
    for entry in " ".join(sources.split()).split(";"):
        for match in CITATION.finditer(entry):
            names = match[1].replace(" et al.", "").replace(" et al", "")
            first = names.split(",")[0].split(" and ")[0].strip()
            yield f"{first} {match[2]}", entry[match.start():].strip().rstrip(".")


def papers(book):
    """Every paper: key -> (longest citation, paths of the modules that cite it)."""
    found = {}
    for path in book.page_of:
        for key, citation in citations(module(path).blocks[0].doc):
            longest, paths = found.get(key, ("", []))
            found[key] = max(longest, citation, key=len), [*dict.fromkeys([*paths, path])]
    return dict(sorted(found.items(), key=lambda item: item[0].removeprefix("van den ")))


def beside(book, key):
    """The numbers of the paper beside those measured here, by the demo `papers`."""
    numbers = book.results.get("papers", {}).get("numbers", [])
    return [f"{number['name'].removeprefix(key).lstrip(':, ')}: {show(number['value'])} {number['unit']}"
            for number in numbers if number["name"].startswith((f"{key}: ", f"{key}, ")) and number["unit"]]


def papers_page(book):
    """The page of papers, as the content of <main>; the demo `papers` stands on it too."""
    rows = []
    for key, (citation, paths) in papers(book).items():
        where = ", ".join(f'<a href="{book.address((path, ""))}">{module(path).stem}</a>' for path in paths)
        own = [book.page_of[path] for path in paths if book.page_of[path].modules[0] == path]    # its demos are about it
        stems = dict.fromkeys(stem for page in own for stem in page.demos)
        measured = [book.results[stem]["finding"] for stem in stems
                    if "finding" in book.results.get(stem, {})]
        seen_here = "".join(f"<li>{html.escape(words)}</li>" for words in beside(book, key) or measured[:2])
        rows.append(f'<tr id="{key.replace(" ", "-")}"><td><b>{html.escape(citation)}</b><br>{inline(CLAIMS.get(key, ""))}</td>'
                    f'<td>{where}</td><td>{f"<ul>{seen_here}</ul>" if seen_here else ""}</td></tr>')
    demo = "".join(f'<section aria-labelledby="see"><h2 id="see">See</h2>\n{seen(book, page)}</section>'
                   for page in book.pages if page.slug == "papers")
    return ('<h1>Papers</h1><p class="lead">Each paper that a module is built on, what it claims, where it is '
            'here, and what the demo about it measured, beside the paper\'s own number where it has one that can be '
            'compared.</p><div class="wide"><table class="papers" aria-label="Papers">'
            "<thead><tr><th>Paper and claim</th><th>Here</th><th>Measured here</th></tr></thead><tbody>"
            + "\n".join(rows) + "</tbody></table></div>" + demo)
