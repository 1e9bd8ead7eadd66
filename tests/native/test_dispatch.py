"""Code outside the kernels runs on any CPU: the build's check of its objects finds what it looks for."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CMAKE, OBJDUMP, COMPILER = shutil.which("cmake"), shutil.which("objdump"), shutil.which("c++")

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64")
    or not (CMAKE and OBJDUMP and COMPILER)
    or not (ROOT / "cmake").is_dir(),
    reason="needs cmake, objdump, a C++ compiler and the sources, on x86-64",
)

SUM = """
float sum(const float* __restrict x, float* __restrict y, long n) {
  for (long i = 0; i < n; ++i) y[i] = y[i] * 2 + x[i];
  return y[0];
}
"""
SHIFT = "long shift(long x, int by) { return x << by; }"
UPPER = 'void upper() { asm volatile("vzeroupper"); }'
MASK = 'void mask() { asm volatile("kmovw %eax, %k1"); }'


def check(folder: Path, sources: dict[str, list[str]]) -> subprocess.CompletedProcess:
    """The build's check of one object for each source, compiled with its flags."""
    objects = []
    for i, (source, flags) in enumerate(sources.items()):
        file, target = folder / f"{i}.cpp", folder / f"{i}.o"
        file.write_text(source)
        assert COMPILER is not None and CMAKE is not None
        subprocess.run([COMPILER, "-O3", *flags, "-c", str(file), "-o", str(target)], check=True)
        objects.append(str(target))
    script = str(ROOT / "cmake" / "check_baseline.cmake")
    command = [str(CMAKE), f"-DOBJDUMP={OBJDUMP}", f"-DOBJECTS={';'.join(objects)}", "-P", script]
    return subprocess.run(command, capture_output=True, text=True)


def test_plain_code_passes(tmp_path: Path) -> None:
    done = check(tmp_path, {SUM: ["-march=x86-64"], SHIFT: ["-msse4.2"]})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "source, flags, instruction",
    [
        (SUM, ["-mavx"], "v"),
        (SUM, ["-march=x86-64-v3"], "ymm"),
        (SUM, ["-march=x86-64-v4", "-mprefer-vector-width=512"], "zmm"),
        (SHIFT, ["-mbmi2"], "shlx"),
        (UPPER, [], "vzeroupper"),
        (MASK, [], "kmovw"),
    ],
    ids=["avx", "v3", "v4", "bmi2", "vzeroupper", "mask"],
)
def test_newer_instructions_fail(tmp_path: Path, source: str, flags: list[str], instruction: str) -> None:
    done = check(tmp_path, {"int plain() { return 1; }": [], source: flags})
    assert done.returncode != 0
    assert "1.o holds an instruction that a plain x86-64 CPU lacks" in " ".join(done.stderr.split())
    assert instruction in done.stderr.split("lacks:")[1]


def test_an_object_without_code_is_not_taken_for_clean(tmp_path: Path) -> None:
    (tmp_path / "empty.o").write_bytes(b"")
    command = [str(CMAKE), f"-DOBJDUMP={OBJDUMP}", f"-DOBJECTS={tmp_path / 'empty.o'}", "-P"]
    done = subprocess.run([*command, str(ROOT / "cmake" / "check_baseline.cmake")], capture_output=True, text=True)
    assert done.returncode != 0
