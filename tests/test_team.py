"""The team of threads: ThreadSanitizer over its protocol, and runs in bad company."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "csrc" / "core"


@pytest.mark.skipif(not CORE.exists(), reason="needs the sources")
def test_no_data_races(tmp_path):
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs a compiler")
    program = tmp_path / "team"
    sources = [ROOT / "tests" / "native" / "team.cpp", *(CORE / f"{name}.cpp" for name in ("team", "pool", "memory"))]
    flags = ["-std=c++20", "-O1", "-g", "-fsanitize=thread", "-pthread", f"-I{ROOT / 'csrc'}"]
    built = subprocess.run([compiler, *flags, *map(str, sources), "-o", str(program)], capture_output=True, text=True)
    if built.returncode and "tsan" in built.stderr:
        pytest.skip("needs the sanitizer's library")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program), "300"], capture_output=True, text=True, timeout=300)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the sanitizer does not run here")
    assert ran.returncode == 0 and ran.stdout.strip() == "good", ran.stdout + ran.stderr
