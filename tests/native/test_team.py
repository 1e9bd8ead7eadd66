"""The threads: their protocol alone, with ThreadSanitizer where it understands them, and runs in bad company."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim

ROOT = Path(__file__).parents[2]
CORE = ROOT / "csrc" / "core"


@pytest.mark.skipif(not CORE.exists(), reason="needs the sources")
@pytest.mark.parametrize(
    "workers, flags",
    # The sanitizer does not see how libgomp's threads meet, and reports races where there are none
    [("pool", ["-fsanitize=thread", "-pthread"]), ("openmp", ["-fopenmp"])],
    ids=["pool", "openmp"],
)
def test_loops_of_threads(workers, flags, tmp_path):
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs a compiler")
    program = tmp_path / "team"
    parts = ("threads", "loop", workers, "scratch", "memory")
    sources = [ROOT / "tests" / "native" / "team.cpp", *(CORE / f"{name}.cpp" for name in parts)]
    flags = [*flags, "-std=c++20", "-O1", "-g", f"-I{ROOT / 'csrc'}"]
    built = subprocess.run([compiler, *flags, *map(str, sources), "-o", str(program)], capture_output=True, text=True)
    if built.returncode and ("tsan" in built.stderr or "gomp" in built.stderr):
        pytest.skip("needs the library of the sanitizer or of OpenMP")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program), "200"], capture_output=True, text=True, timeout=300)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the sanitizer does not run here")
    assert ran.returncode == 0 and ran.stdout.strip() == "good", ran.stdout + ran.stderr


@pytest.fixture
def two_threads():
    before = rv.get_num_threads()
    rv.set_num_threads(2)
    yield
    rv.set_num_threads(before)


def training(width=128, rows=64):
    """A compiled step with instructions of all costs, and its inputs."""
    rv.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 10))
    optimizer = optim.Adam(model.parameters())

    @rv.compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    return step, rv.tensor(rng.standard_normal((rows, width), "f4")), rv.tensor(rng.integers(0, 10, rows))


def losses(steps, pause=0.0):
    step, x, y = training()
    found = []
    for _ in range(steps):
        found.append(step(x, y).item())
        if pause:
            time.sleep(pause)
    return found


def test_threads_that_sleep_in_between(two_threads):
    expected = losses(100)
    assert losses(100, pause=0.0003) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs thread affinity")
def test_a_busy_neighbour_on_each_cpu(two_threads):
    expected = losses(300)
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    neighbours = [
        subprocess.Popen([sys.executable, "-c", spin, str(cpu)]) for cpu in sorted(os.sched_getaffinity(0))[:2]
    ]
    try:
        start = time.perf_counter()
        assert losses(300) == expected
        assert time.perf_counter() - start < 30
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forks_while_other_threads_run_plans(two_threads):
    big = rv.compile(lambda x: (x @ x).sum())
    x = rv.tensor(np.random.default_rng(0).standard_normal((256, 256), "f4"))
    expected, errors, going = big(x).item(), [], True

    def work():
        while going:
            if big(x).item() != expected:
                errors.append("a thread computed something else")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(8):
            child = os.fork()
            if child == 0:
                os._exit(0 if big(x).item() == expected else 1)
            for _ in range(300):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    break
                time.sleep(0.1)
            else:
                os.kill(child, 9)
                os.waitpid(child, 0)
                pytest.fail("the child hangs")
            assert status == 0
    finally:
        going = False
        for worker in workers:
            worker.join(60)
    assert not errors and not any(worker.is_alive() for worker in workers)


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_a_step_takes_no_fresh_memory(two_threads):
    import resource

    step, x, y = training(width=512, rows=512)
    for _ in range(20):
        step(x, y)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        step(x, y)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 25
