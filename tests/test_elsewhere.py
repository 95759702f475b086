"""A program of another folder, with modules of the same names."""

import subprocess
import sys

from config import REPOSITORY

PROGRAM = """
import sys
import config
sys.path.append({folder!r})
from dan.elsewhere import Denoiser
import dataset
import models
import numpy as np
assert config.OWN and models.OWN and dataset.OWN, "shadowed"
denoised = Denoiser.load({checkpoint!r})(np.ones(3000), 16_000)
print(denoised.shape, sys.path[-1] == {folder!r})
"""


def test_a_program_elsewhere_keeps_its_own_config_and_models(tmp_path):
    for name in ("config", "models", "dataset"):
        (tmp_path / f"{name}.py").write_text("OWN = True\n")
    checkpoint = str(REPOSITORY / "pretrained/speech.pt")
    (tmp_path / "program.py").write_text(PROGRAM.format(folder=str(REPOSITORY), checkpoint=checkpoint))
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "(3000,) True\n", done.stderr
