"""Make one motion of the book: python demos/_motion.py descent --out gallery"""
import matplotlib.style
import numpy as np
from book.motion import MOTIONS, write_motion
from common import STYLE, options

parser = options(__doc__)
parser.add_argument("name", choices=MOTIONS)
arguments = parser.parse_args()
matplotlib.use("Agg")
matplotlib.style.use(["default", STYLE])
arguments.out.mkdir(parents=True, exist_ok=True)
write_motion(arguments.out, arguments.name, np.random.default_rng(arguments.seed))
