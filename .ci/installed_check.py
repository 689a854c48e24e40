"""Run by CI with an installed npcnn, outside the repository: the API's face, and a short training.

    python .ci/installed_check.py [STEPS]

It needs the core dependencies only, and must not find the source tree.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import npcnn as nn

folder = pathlib.Path(tempfile.mkdtemp())
os.chdir(folder)
if pathlib.Path(nn.__file__).is_relative_to(pathlib.Path(__file__).parent.parent):
    sys.exit("npcnn was imported from the source tree, not from the installation")

rng = np.random.default_rng(0)
net = nn.models.cifar_separable(rng=rng)
optimizer = nn.Adam(net, lr=1e-4)
x, labels = rng.standard_normal((128, 24, 24, 3)).astype(np.float32), rng.integers(0, 10, 128)
logits = net.forward(x, training=True)
loss, dlogits = nn.functional.softmax_cross_entropy(logits, labels)
net.backward(dlogits)
optimizer.step()
print(net.summary((24, 24, 3)))
net.save("weights.safetensors")
net.load("weights.safetensors")
again, _ = nn.functional.softmax_cross_entropy(net.forward(x), labels)
if not again < loss:
    sys.exit(f"one step of Adam did not lower the loss: {loss} -> {again}")

steps = sys.argv[1] if len(sys.argv) > 1 else "5"
example = pathlib.Path(__file__).parent.parent / "examples" / "train_cifar.py"
command = [sys.executable, example, "--data", "synthetic", "--steps", steps, "--display-step", steps, "--out", "out"]
subprocess.run(command, check=True, env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")})
missing = {"weights.safetensors", "metrics.csv", "settings.json", "result.json"} - {
    path.name for path in pathlib.Path("out").iterdir()
}
if missing:
    sys.exit(f"the training did not leave {missing}")
print("installed npcnn works")
