"""The Denoiser for programs of other folders, whose modules may be called config, models or dataset, too.

    import sys
    sys.path.append("/path/to/this/folder")
    from dan.elsewhere import Denoiser

While it is imported, the modules of this folder stand before all others; afterwards they are out of the way.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
NAMES = {path.stem for path in FOLDER.glob("*.py")}

theirs = {name: sys.modules.pop(name) for name in NAMES & sys.modules.keys()}
sys.path.insert(0, str(FOLDER))
try:
    from dan.denoising.denoiser import Denoiser  # noqa: F401
finally:
    sys.path.remove(str(FOLDER))
    for name in NAMES & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(theirs)
