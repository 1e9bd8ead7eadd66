"""Matrix products as other kernels call them, by a program that takes their sources."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GEMM = ROOT / "csrc" / "cpu" / "gemm"


@pytest.mark.skipif(not GEMM.exists(), reason="needs the sources")
def test_products_for_other_kernels(tmp_path: Path) -> None:
    """Operands packed ahead, one that is gathered on the fly, and what is chosen."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs a compiler")
    program = tmp_path / "gemm"
    sources = [ROOT / "tests" / "native" / "gemm.cpp", *(f for f in sorted(GEMM.glob("*.cpp")) if f.stem != "matmul")]
    native = ["-march=native"] if platform.machine() == "x86_64" else []
    flags = ["-std=c++20", "-O0", "-Wno-psabi", "-ffp-contract=fast", "-DRV_ISA=here", *native, f"-I{ROOT / 'csrc'}"]
    built = subprocess.run([compiler, *flags, *map(str, sources), "-o", str(program)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0 and ran.stdout.strip() == "good", ran.stdout + ran.stderr
