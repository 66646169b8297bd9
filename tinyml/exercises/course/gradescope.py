"""The zip of an autograder for Gradescope: scripts, homework, the library as a wheel, and its
tests.

Gradescope unpacks the zip in /autograder/source and runs setup.sh there once. For each submission
it runs /autograder/run_autograder, a copy, and reads /autograder/results/results.json.
"""
import base64
import configparser
import hashlib
import io
import zipfile
from pathlib import Path

from tinyml.exercises.course.homework import read_homework
from tinyml.exercises.student.stub import ROOT
from tinyml.files import write

SETUP = """#!/usr/bin/env bash
# Runs once, when the image is built: Python with NumPy, pytest and hypothesis; then the library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PIP_BREAK_SYSTEM_PACKAGES=1    # the container is the grader's own
if ! python3 -m pip --version > /dev/null 2>&1; then
    apt-get update -qq && apt-get install -y -qq python3 python3-pip
fi
python3 -m pip install -q "numpy>=2.0" "pytest>=7.4" "hypothesis>=6.100"
python3 -m pip install -q --no-deps --upgrade --target library ./{wheel}
"""
RUN = """#!/usr/bin/env bash
# Runs for each submission, from /autograder.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
[ -d "$here/source" ] || here="$(dirname "$here")"
cd "$here/source"
PYTHONPATH="$here/source/library" python3 -m tinyml.exercises grade "$here/submission" --one \\
    --homework homework.ini --metadata "$here/submission_metadata.json" --out "$here/results"
"""
DATE = (1980, 1, 1, 0, 0, 0)    # of all members: the same homework gives the same bytes


def autograder(path):
    """The bytes of the autograder's zip for a homework's file; ValueError if that is wrong."""
    read_homework(path)
    name, content = wheel()
    members = {"setup.sh": SETUP.replace("{wheel}", name), "run_autograder": RUN,
               "homework.ini": Path(path).read_bytes(), name: content,
               "library/setup.cfg": (ROOT / "setup.cfg").read_bytes()}
    members |= {f"library/tests/{file.name}": file.read_bytes()
                for file in sorted((ROOT / "tests").glob("*.py"))}
    return zipped(members)


def save(path, out):
    """Write the autograder of a homework's file."""
    write(out, autograder(path))


def wheel():
    """(name, bytes) of a wheel of the package (PEP 427), as it is here."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    name, version = settings["metadata"]["name"], settings["metadata"]["version"]
    files = [path for path in sorted((ROOT / "tinyml").rglob("*"))
             if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".part"]
    members = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files}
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in
                    settings["options"]["install_requires"].split("\n") if line.strip())
    members[f"{info}/METADATA"] = (f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                                   f"Requires-Python: >=3.10\n{needs}").encode()
    members[f"{info}/WHEEL"] = (b"Wheel-Version: 1.0\nGenerator: tinyml\n"
                                b"Root-Is-Purelib: true\nTag: py3-none-any\n")
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n"
                     for path, content in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    return f"{name}-{version}-py3-none-any.whl", zipped(members)


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def zipped(members):
    """The bytes of a zip of {path: text or bytes}; scripts may be run."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            info = zipfile.ZipInfo(path, DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o755 if path in {"setup.sh", "run_autograder"} else 0o644) << 16
            archive.writestr(info, content)
    return file.getvalue()
