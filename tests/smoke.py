"""Runs the code of the README with the installed package: `make package` calls it."""

import re
from pathlib import Path

import keras_stt

assert "site-packages" in keras_stt.__file__, keras_stt.__file__
readme = (Path(__file__).parent.parent / "README.md").read_text()
namespace: dict[str, object] = {}
for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
    exec(block, namespace)
print("The README's code runs.")
