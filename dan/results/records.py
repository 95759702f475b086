"""What was measured, as docs/results/PART.json keeps it: the numbers, and where they come from.

{"made_by": …, "made": {"commit", "date", "processor", "threads", "minutes", "code": {path: hash}},
 "values": nested dictionaries of numbers, each as `over_signals` or `over_seeds` gives it, or plain}
"""

import hashlib
import json
import os
import re
import subprocess
from datetime import date

import numpy as np
import torch

from config import REPOSITORY
from dan.errors import UserError
from dan.files import write_bytes
from dan.output.saving import MARK

FOLDER = REPOSITORY / "docs/results"


def over_signals(value, half_width, signals):
    """A number with its 95 % confidence interval over the test signals."""
    return {"value": value, "low": value - half_width, "high": value + half_width, "signals": signals}


def over_seeds(values, signals):
    """The mean of {seed: value}, and the least and the most of them."""
    by_seed = list(values.values())
    return {
        "value": float(np.mean(by_seed)),
        "low": min(by_seed),
        "high": max(by_seed),
        "by_seed": by_seed,
        "seeds": list(values),
        "signals": signals,
    }


def read(part):
    """The record of a part, {"made", "values"}; None where it was never measured.

    Raises UserError for a damaged one.
    """
    path = FOLDER / f"{part}.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
        if not {"made", "values"} <= record.keys():
            raise ValueError("not a record")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged; move it away, and python results.py {part} measures it anew") from error
    return record


def write(part, code, values, minutes):
    """Write the record of a part; code: {path: fingerprint} of what made it; minutes: what that took on one core."""
    made = {
        "commit": commit(),
        "date": date.today().isoformat(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "minutes": round(minutes, 1),
        "code": code,
    }
    content = {"made_by": MARK, "made": made, "values": values}
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    text = re.sub(r"\[[-+\d.,e\s]*\]", lambda numbers: " ".join(numbers[0].split()), text)  # lists on one line
    write_bytes(FOLDER / f"{part}.json", f"{text}\n".encode())


def changed_since(record):
    """The paths of the code behind a record that are not as they were when it was made."""
    return [path for path, before in record["made"]["code"].items() if before != fingerprint(path)]


def fingerprint_of(values):
    """A hash of a record's values, by which a figure says what it was drawn from."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def fingerprints(paths):
    """{path: fingerprint}, paths relative to the repository."""
    return {path: fingerprint(path) for path in paths}


def fingerprint(path):
    """A hash of a file's text, whatever its ends of lines; None where there is none."""
    path = REPOSITORY / path
    return hashlib.sha256(b"\n".join(path.read_bytes().splitlines())).hexdigest()[:12] if path.exists() else None


def commit():
    """The commit that the folder holds, with a + where files differ from it; "unknown" without git."""
    try:
        return git("rev-parse", "--short=10", "HEAD") + "+" * bool(git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*command):
    return subprocess.run(
        ["git", *command], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout.strip()


def processor():
    """The processor's name, the number of its cores that there are, and its vector instructions."""
    name = "processor"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = dict(line.rstrip().split("\t", 1) for line in file if "\t" in line)
        name = lines.get("model name", ": processor").removeprefix("\t").removeprefix(": ")
    kind = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX-512")
    return f"{name}, {os.cpu_count()} cores, {kind}"
