"""Threads, instruction sets and processes: settings, same bits, forks, several Python threads."""

import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.kernels import core

HANG = 1800  # seconds; it only ends what would never end


pytestmark = pytest.mark.usefixtures("settings_restored")


def python(code, **environment):
    """Run a program in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=HANG
    )


def training_bytes(steps=2):
    """Return all parameters after a few steps of a small net that uses every kind of layer."""
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv2D(3, 20, 5, activation="relu", rng=rng),
        nn.MaxPool2D(2),
        nn.SpatiallySeparableConv2D(20, 20, 5, rng=rng),
        nn.ReLU(),
        nn.AvgPool2D(2),
        nn.Concat(nn.Conv2D(20, 10, 3, rng=rng), nn.Conv1D(20, 5, 3, axis="width", stride=1, rng=rng)),
        nn.GlobalAvgPool2D(),
    )
    optimizer = nn.Adam(net, lr=1e-3)
    x = rng.standard_normal((37, 12, 12, 3)).astype(np.float32)
    labels = rng.integers(0, 10, 37)
    for _ in range(steps):
        _, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
        net.backward(dlogits)
        optimizer.step()
    return b"".join(array.tobytes() for array in net.params.values())


needs_openmp = pytest.mark.skipif(not core.has_openmp(), reason="this build has one thread")


@needs_openmp
def test_same_bits_at_any_number_of_threads():
    results = []
    for threads in (1, 2, 3, 8):
        nn.set_num_threads(threads)
        assert nn.get_num_threads() == threads
        results.append(training_bytes())
    assert results[0] == results[1] == results[2] == results[3]


@pytest.mark.parametrize("isa", core.supported_isas())
def test_every_instruction_set_gives_nearly_the_same(isa):
    expected = np.frombuffer(training_bytes(), np.float32)
    core.use_isa(isa)
    assert core.isa() == isa
    np.testing.assert_allclose(np.frombuffer(training_bytes(), np.float32), expected, atol=1e-4)


@pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists() or platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 flags"
)
def test_the_cpu_is_asked_rightly_what_it_has():
    (flags,) = {line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")}
    needed = {
        "avx512": {"avx2", "fma", "avx512f", "avx512vl", "avx512bw", "avx512dq"},
        "avx2": {"avx2", "fma"},
        "sse2": {"sse2"},
        "plain": set(),
    }
    assert core.supported_isas() == [isa for isa, names in needed.items() if names <= set(flags.split())]


def test_isa_from_the_environment():
    result = python("import npcnn; print(npcnn.config.current()['isa'])", NPCNN_ISA="plain")
    assert result.stdout == "plain\n"


@needs_openmp
def test_threads_from_the_environment():
    code = "import npcnn; print(npcnn.get_num_threads())"
    assert python(code, NPCNN_NUM_THREADS="3", OMP_NUM_THREADS="2").stdout == "3\n"
    assert python(code, NPCNN_NUM_THREADS="", OMP_NUM_THREADS="3").stdout == "3\n"


JUNK = [os.fsdecode(b"\xff\xfe"), "9" * 5000, "mmx", "two", "-1", "0", "1025", "1_0", "\u0663", " "]


@pytest.mark.parametrize("value", JUNK, ids=ascii)
@pytest.mark.parametrize("variable", ["NPCNN_ISA", "NPCNN_NUM_THREADS"])
def test_junk_in_the_environment_is_named_in_one_line(variable, value):
    result = python("import npcnn", **{variable: value})
    assert result.returncode == 1
    allowed = {
        "NPCNN_ISA": f"one of {', '.join(core.supported_isas())} (on this build and CPU)",
        "NPCNN_NUM_THREADS": "an integer from 1 to 1024",
    }[variable]
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ValueError: the environment variable {variable} must be {allowed}, got '")
    assert len(last) < 250


@pytest.mark.parametrize("name", ["mmx", "plain\0", "\udcff", ""], ids=ascii)
def test_an_instruction_set_with_another_name_is_refused(name):
    with pytest.raises(ValueError, match="instruction set must be one that this build and this CPU have"):
        core.use_isa(name)


@needs_openmp
def test_the_number_of_threads_is_capped_whatever_openmp_is_told():
    # No kernel runs here: whether the system grants a thousand threads is not the question.
    code = "import npcnn; print(npcnn.get_num_threads())"
    assert python(code, NPCNN_NUM_THREADS="", OMP_NUM_THREADS="100000").stdout == "1024\n"
    assert python(code, NPCNN_NUM_THREADS="2", OMP_NUM_THREADS="100000").stdout == "2\n"


@needs_openmp
def test_threadpoolctl_limits_the_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    nn.set_num_threads(4)
    with threadpoolctl.threadpool_limits(limits=1, user_api="openmp"):
        assert nn.get_num_threads() == 1
    assert nn.get_num_threads() == 4


def test_several_python_threads_at_once():
    expected = training_bytes()
    results = [None] * 4

    def work(i):
        results[i] = training_bytes()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def _child(queue):
    queue.put((nn.get_num_threads(), training_bytes(steps=1)))


def test_a_fork_after_use_computes_the_same_and_does_not_hang():
    nn.set_num_threads(2)
    expected = training_bytes(steps=1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    results = [queue.get(timeout=HANG) for _ in children]
    for child in children:
        child.join(timeout=HANG)
        assert child.exitcode == 0
    assert results == [(1, expected)] * 2


def test_prefork_server_workers_answer():
    # As gunicorn does with preload_app: the application computes once, then forks its workers with os.fork.
    code = """
import os, sys, npcnn as nn, numpy as np
net = nn.models.cifar_separable(rng=np.random.default_rng(0))
x = np.ones((2, 24, 24, 3), np.float32)
expected = net.forward(x)
pids = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if np.array_equal(net.forward(x), expected) else 1)
    pids.append(pid)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""
    assert python(code).returncode == 0


def test_show_config_names_what_is_in_use(capsys):
    nn.show_config()
    printed = capsys.readouterr().out
    for name in ("npcnn", "numpy", "isa", "threads", "openmp", "compiler"):
        assert f"\n{name} " in "\n" + printed
    assert core.isa() in printed
    assert ("hint" in printed) == (not core.has_openmp())


def test_show_config_says_what_to_do_about_a_build_with_one_thread(capsys, monkeypatch):
    monkeypatch.setattr(core, "has_openmp", lambda: False)
    nn.show_config()
    assert "hint: built without OpenMP, npcnn computes in one thread; README.md" in capsys.readouterr().out


def test_importing_npcnn_leaves_heavy_modules_alone():
    code = "import sys, npcnn; print([m for m in ('matplotlib', 'tqdm', 'safetensors', 'PIL') if m in sys.modules])"
    assert python(code).stdout == "[]\n"
