"""The benchmarks' own logic: what is measured, how it is judged, and that each row can be measured again."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "bench").is_dir():
    pytest.skip("the benchmarks are not installed", allow_module_level=True)
sys.path.insert(0, str(ROOT))

import ranvier as rv  # noqa: E402
from ranvier._native import matmul_variants  # noqa: E402

from bench import __main__ as command_line  # noqa: E402
from bench import (  # noqa: E402
    chains,
    compress,
    lab,
    native,
    peak,
    peers,
    plans,
    products,
    quiet,
    reads,
    records,
    render,
    report,
    runner,
    steps,
    sweep,
    threads,
    tune,
)  # fmt: skip
from bench.runner import US, Row, Settings, Target  # noqa: E402


def bench(*words: str) -> subprocess.CompletedProcess:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(rv.__file__).parents[1])]),
    }  # this very package
    return subprocess.run([sys.executable, "-m", "bench", *words], cwd=ROOT, env=env, capture_output=True, text=True)


# ---------------------------------------------------------------- the command line


def test_groups() -> None:
    assert command_line.choose(["kernels", "steps"])[0] == ["steps", "ops", "products", "chains", "optimizers"]
    assert command_line.choose([])[0] == list(command_line.GROUPS)
    assert command_line.choose(["lab", "matmul", "2x3x4"]) == (["lab"], ("matmul", "2x3x4"))
    assert command_line.choose(["tune", "2x3x4"]) == (["tune"], ("2x3x4",))
    with pytest.raises(ValueError, match="unknown groups.*nonsense"):
        command_line.choose(["nonsense"])


@pytest.mark.parametrize(
    "settings", [Settings(2), Settings(1, quick=True, isa="v3"), Settings(1, words=("softmax", "8x8", "dim=1"))]
)
def test_a_row_names_the_command_that_measures_it(settings: Settings) -> None:
    case = "(1, 2) @ (2, 3) float32, A^T B"
    group = "lab" if settings.words else "products"
    words = shlex.split(command_line.reproduce(group, case, settings))
    assert words[:3] == ["python", "-m", "bench"]
    options = command_line.parser().parse_intermixed_args(words[3:])
    groups, words_of_lab = command_line.choose(options.groups)
    again = command_line.settings_of(options, words_of_lab)
    assert groups == [group] and words_of_lab == settings.words
    assert (again.threads, again.quick, again.isa) == (settings.threads, settings.quick, settings.isa)
    assert again.only == ("" if settings.words else case) and again.wants(case)


def test_a_run_from_end_to_end(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    alone = ("--without", "torch,jax")
    first = bench("products", "--quick", "--dtype", "float32", "--only", "(4, 2) @ (2, 4)", "--json", str(file), *alone)
    assert first.returncode == 0, first.stderr
    (result,) = json.loads(file.read_text())["results"]
    (row,) = result["rows"]
    assert "torch" not in row["values"] and "torch" not in result["versions"]
    assert row["values"][US] > 0 and row["threads"] == 1 and row["peak_percent"] > 0
    again = bench(*shlex.split(row["command"])[3:], "--record", str(tmp_path / "records"), *alone)
    assert again.returncode == 0, again.stderr
    assert row["case"] in again.stdout and "GB/s" in again.stdout
    (record,) = records.load(tmp_path / "records")
    assert (
        record["suite"] == "products" and "--record" not in record["command"] and str(tmp_path) not in record["command"]
    )
    assert [r.case for r in record["rows"]] == [row["case"]] and f"| {row['case']} | 1 | us |" in render.section(record)


@pytest.mark.parametrize("group", ["products", "ops"])
def test_numpy_can_be_left_out(group: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    case = {"products": "(4, 2) @ (2, 4)", "ops": "cat of two 64x64, dim=0"}[group]
    done = bench(
        group, "--quick", "--dtype", "float32", "--only", case, "--json", str(file), "--without", "numpy,torch,jax"
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(file.read_text())["results"]
    assert [set(row["values"]) for row in result["rows"]] == [{US}]


def test_faults_are_told_without_a_traceback() -> None:
    done = bench("lab", "matmul", "32x")
    assert done.returncode == 2 and "is no list of shapes" in done.stderr and "Traceback" not in done.stderr


def test_a_text_that_is_in_no_case() -> None:
    done = bench("optimizers", "--quick", "--only", "nonsense", "--without", "torch,jax")
    assert done.returncode == 1 and "no case of optimizers has 'nonsense' in its name" in done.stderr


def test_models_of_few_bits() -> None:
    rows = compress.measure(Settings(1, quick=True, only="1024", seconds=0.01), None)
    assert [(r.group, r.case) for r in rows] == [("weights alone", "1024-1024, 1 row")]
    assert all(rows[0].values[name] > 0 for name in (US, compress.FLOAT, "ranvier int4"))
    (row,) = compress.measure(Settings(1, quick=True, only="512-512, 1 row", seconds=0.01), None)
    assert row.values[US] > 0 and row.values[compress.FLOAT] > 0


def test_threads_alone_and_beside_a_busy_process_and_a_second_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_BENCH_BESIDE", str(Path(rv.__file__).parents[1]))
    rows = threads.measure(Settings(2, quick=True, only="exp of 4K", seconds=0.01), None)
    assert [r.case for r in rows] == ["exp of 4K numbers, alone", "exp of 4K numbers, beside a busy process"]
    for contender in (US, threads.ONE, f"{US}, {rv.config.config()['threads']}"):
        assert all(r.values[contender] > 0 for r in rows)
    assert threads.measure(Settings(1), None) == []


# ---------------------------------------------------------------- the laboratory


@pytest.mark.parametrize(
    "words, shapes",
    [
        ("matmul 32x784x128", ((32, 784), (784, 128))),
        ("matmul 32x784x128 transpose_a=True", ((784, 32), (784, 128))),
        ("matmul 32x784x128 transpose_b=True", ((32, 784), (128, 784))),
        ("matmul 5x2x3,3x4", ((5, 2, 3), (3, 4))),
        ("add 8x8", ((8, 8), (8, 8))),
        ("softmax 64x1000 dim=1", ((64, 1000),)),
    ],
)
def test_cases(words: str, shapes: tuple) -> None:
    (case,) = lab.parse(tuple(words.split()))
    assert case.shapes == shapes


def test_several_cases_share_attributes() -> None:
    cases = lab.parse(("sum", "4x5", "dim=(1,)", "6x7"))
    assert [c.shapes for c in cases] == [((4, 5),), ((6, 7),)]
    assert all(dict(c.attrs) == {"dim": (1,)} for c in cases)


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "nothing is no op"),
        (("nonsense", "4"), "nonsense is no op"),
        (("matmul",), "needs shapes"),
        (("matmul", "4x4"), "must be MxKxN"),
        (("matmul", "4x-4x4"), "no list of shapes"),
        (("softmax", "4x4", "axis=1"), "unknown attributes"),
    ],
)
def test_wrong_words(words: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lab.parse(words)


def test_a_wrong_product_is_refused() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 8, 8)).astype(np.float32)
    lab.check("right", a @ b, *lab.exact(a, b))
    wrong = a @ b
    wrong[3, 3] += 1e-3
    with pytest.raises(ArithmeticError, match="wrong gives a wrong product"):
        lab.check("wrong", wrong, *lab.exact(a, b))


def test_laboratory_measures_variants_and_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "torch_or_none", lambda settings: None)
    monkeypatch.setattr(products, "jax_or_none", lambda: None)
    machine = peak.Peak(1e11, 1e11, 1e10, "", "")
    settings = Settings(1, words=("matmul", "8x512x8", "transpose_b=True"), dtypes=("float32",), seconds=0.01)
    rows = lab.measure(settings, machine)
    fit = [v for v in matmul_variants()[1:] if v not in ("strips", "lines")]  # for B as it lies, and for one row
    ours = [US, f"{US}, in a plan", *(f"{US}, {v}" for v in fit), "numpy"]
    assert [r.case for r in rows][: len(ours)] == ours  # eight columns are not packed
    for r in rows:
        assert r.values["GFLOP/s"] == pytest.approx(2 * 8 * 8 * 512 / r.values["us"] / 1e3)
        assert r.values["% of FMA peak"] == pytest.approx(r.values["GFLOP/s"])
    settings = Settings(1, words=("matmul", "8x64x64"), dtypes=("float32",), seconds=0.01)
    assert f"{US}, B packed once" in [r.case for r in lab.measure(settings, machine)]
    settings = Settings(1, words=("matmul", "8x8x8"), dtypes=("float32",), seconds=0.01)
    cases = [r.case for r in lab.measure(settings, machine)]
    assert f"{US}, outer_packed" in cases and f"{US}, inner" not in cases  # B^T does not lie along k


# ---------------------------------------------------------------- the choice of variants


def test_tuning_forces_every_variant_that_fits() -> None:
    settings = Settings(1, words=("33x3x64",), dtypes=("float32", "float64"), seconds=0.01)
    rows = tune.measure(settings, peak.Peak(1e11, 1e11, 1e10, "", ""))
    assert [r.case for r in rows] == 2 * ["33x3x64, A B", "33x3x64, A^T B", "33x3x64, A B^T"]
    for row in rows:
        assert {tune.CHOSEN, "outer", "outer_packed"} <= set(row.values) <= set(matmul_variants())
        assert row.unit == "us" and all(v > 0 for v in row.values.values()) and tune.regret(row) >= 1
        assert row.command.startswith("python -m bench lab matmul 33x3x64 ")
        lab.parse(tuple(row.command.split(" --")[0].split()[4:]))
    assert [r.values["shapes"] for r in tune.summary(rows)] == 6 * [1]


def test_a_shape_that_looks_slow_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def one(case: lab.Case, dtype: str, settings: Settings, peak: object) -> Row:
        seen.append(settings.seconds)
        return Row("g", f"{case.text}, A B", "us", {tune.CHOSEN: 1.2 if len(seen) == 1 else 1.0, "outer": 1.0})

    monkeypatch.setattr(tune, "one", one)
    rows = tune.measure(Settings(1, words=("2x3x4",), dtypes=("float32",), seconds=1.0), None)  # type: ignore[arg-type]
    assert seen == [0.2, 1.0, 0.2, 0.2] and [tune.regret(r) for r in rows] == [1, 1, 1]


def test_regrets_are_judged() -> None:
    def row(shape: str, chosen: float, layout: str = "A B") -> Row:
        values = {tune.CHOSEN: chosen, "outer": 2.0, "inner": 1.0}
        return Row(
            "variants, float32 (x)", f"{shape}, {layout}", "us", values, ours=tune.CHOSEN, command=f"lab {shape}"
        )

    assert tune.judge([row("1x1x1", 1.14), row("2x2x2", 0.9)]) == ""  # better than what was forced: no regret
    assert "mean regret 1.20" in tune.judge([row("1x1x1", 1.4), row("2x2x2", 1.0)])
    assert tune.judge([*[row("1x1x1", 1.0)] * 9, row("2x2x2", 1.6)]) == "regret 1.60, at most 1.5: lab 2x2x2"
    first, second = tune.summary([row("1x1x1", 1.4), row("2x2x2", 1.0), row("3x3x3", 1.0, "A B^T")])
    assert first.case == "A B; worst: 1x1x1" and first.values == {"shapes": 2, "mean": pytest.approx(1.2), "worst": 1.4}
    assert second.case == "A B^T; worst: 3x3x3" and second.values["worst"] == 1


@pytest.mark.parametrize(("busy", "code"), [("", 1), ("others use 1.0 of our processors", 0)])
def test_a_busy_machine_is_not_judged(
    busy: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    row = Row(
        "variants, float32 (x)", "1x1x1, A B", "us", {tune.CHOSEN: 2.0, "outer": 1.0}, ours=tune.CHOSEN, suite="tune"
    )
    result = {"rows": [row.json()], "busy": busy, "threads": 1, "peak": vars(peak.Peak(1e11, 1e11, 1e10, "a", "b"))}
    monkeypatch.setattr(command_line, "in_child", lambda threads, isa: result)
    monkeypatch.setattr(sys, "argv", ["bench", "tune", "--check"])
    if code:
        with pytest.raises(SystemExit, match="mean regret 2.00"):
            command_line.main()
    else:
        command_line.main()
        assert f"The machine was not quiet: {busy}" in capsys.readouterr().out


def test_what_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quiet.verdict(1.05, 0.05, 0.01) == ""
    assert quiet.verdict(1.5, 0.7, 0.3).count(", ") == 2
    watch = quiet.Watch()
    monkeypatch.setattr(quiet, "processors", lambda: (watch._before[0] + 1e6, watch._before[1]))
    assert "others use" in watch.reasons() and "hypervisor" not in watch.reasons()


# ---------------------------------------------------------------- records and the page


def test_a_record_keeps_what_a_page_shows(tmp_path: Path) -> None:
    rows = [
        Row(
            "a", "x", "us", {US: 1.23456, "torch": 2.0}, peak_percent=50.0, targets=[Target(1)], suite="s", command="c"
        ),
        Row("a", "y", "us", {US: 1234567.0}, suite="s"),
        Row("b", "z", "GB/s", {"chosen": 3}, rate=True, threads=2, ours="chosen", suite="s"),
    ]
    result = {
        "cpu": "Some CPU (R) 9",
        "isa": "v4",
        "busy": "",
        "versions": {},
        "threads": 1,
        "peak": {"flops": 123456.0},
    }
    (path,) = records.save(
        tmp_path, f"bench s --record {tmp_path} --quick", "2026-01-02", [{**result, "rows": [r.json() for r in rows]}]
    )
    assert path.name == "some-cpu-r-9-s.json" and len(path.read_text().splitlines()) < 40
    (record,) = records.load(tmp_path)
    kept = [
        Row(r.group, r.case, r.unit, r.values, r.rate, r.peak_percent, [], r.threads, r.ours, "", "s") for r in rows
    ]
    kept[0].values[US], kept[1].values[US] = 1.235, 1235000.0
    assert record["rows"] == kept and record["command"] == "bench s --quick" and record["date"] == "2026-01-02"
    assert record["runs"] == [{"threads": 1, "peak": {"flops": 123500.0}}]


def test_the_page_is_what_the_records_give() -> None:
    done = bench("render", "--check")
    assert done.returncode == 0, done.stderr


def test_a_page_that_differs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PAGE", tmp_path / "page.md")
    render.render(check=False)
    assert render.render(check=True) == ""
    (tmp_path / "page.md").write_text(render.PAGE.read_text() + "2")
    assert "python -m bench render" in render.render(check=True)


def test_the_page_shows_every_suite_that_is_recorded() -> None:
    shown = re.findall(r"^<!-- (\w+) -->$", render.TEMPLATE.read_text(), re.M)
    assert sorted(shown) == sorted(["commands", *render.SUITES]) and set(render.SUITES) <= set(command_line.GROUPS)
    for suite, words in render.SUITES.items():
        command_line.parser().parse_intermixed_args([suite, *words.split()])


def test_peers_choose_their_kernels_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(peers.environment_for(1))
    pytest.importorskip("threadpoolctl")
    if any("openblas" in str(x) for x in np.show_config("dicts")["Build Dependencies"].values()):  # type: ignore[index]
        assert runner.openblas().startswith("OpenBLAS ")


# ---------------------------------------------------------------- contenders do the same work


def test_instructions_in_a_plan_compute_what_the_function_does() -> None:
    x = rv.randn(10)
    run, (out,) = plans.in_plan(lambda x: rv.exp(x) + 1, [x], copies=3)
    run(2)
    np.testing.assert_array_equal(out, (rv.exp(x) + 1).numpy())


@pytest.mark.skipif(native.compiled() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("chain", chains.CHAINS, ids=lambda c: c.name)
def test_chains_by_hand_compute_the_formula(chain: chains.Chain) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-2, 2, 100).astype(np.float32) ** 2 for _ in range(chain.inputs)]
    expected = chain.formula(np, *arrays)
    np.testing.assert_allclose(chain.formula(rv, *map(rv.from_numpy, arrays)).numpy(), expected, rtol=1e-5)
    operands = [arrays[min(i, len(arrays) - 1)] for i in range(3)]
    for members in (1, 2):
        out = np.zeros(100, np.float32)
        native.on_pieces(f"chain_{chain.name}", (*operands, out), members, 2)
        np.testing.assert_allclose(out, expected, rtol=1e-5)


@pytest.mark.skipif(native.compiled() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_loop_multiplies(dtype: type) -> None:
    a, b = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(3, 4)
    run = lab.plain_loop(a, b)
    run(3)
    out = next(c.cell_contents for c in run.__closure__ if getattr(c.cell_contents, "shape", 0) == (2, 4))
    np.testing.assert_array_equal(out, a @ b)


@pytest.mark.parametrize("layout", products.LAYOUTS)
def test_layouts_are_the_same_product(layout: str) -> None:
    a, b = products.operands(3, 4, 5, "float64", layout)
    x, y = products.views(a, b, layout)
    assert x.shape == (3, 4) and y.shape == (4, 5)
    assert (a.base is None or a.flags.c_contiguous) and b.flags.c_contiguous


def test_sweep_is_reproducible_and_covers_the_range() -> None:
    shapes = sweep.shapes()
    assert shapes == sweep.shapes() and len(shapes) == 200
    sizes = np.array(shapes)
    assert sizes.min() == 1 and 2500 < sizes.max() <= 3000
    assert 30 < np.median(sizes) < 100  # log-uniform: the middle is near sqrt(3000)


# ---------------------------------------------------------------- judging


def test_targets() -> None:
    row = Row("g", "c", "us", {US: 2.0, f"{US} eager": 1.0, "numpy": 5.0, "torch": 4.0}, peak_percent=89)
    row.targets = [
        Target(3),
        Target(2, "best peer"),
        Target(2.1, "best peer"),
        Target(2.5, "numpy"),
        Target(90, "peak"),
        Target(2, "jax"),
    ]
    assert row.verdicts() == [
        ("<= 3", True), (">= 2x best peer", True), (">= 2.1x best peer", False), (">= 2.5x numpy", True),
        (">= 90% of peak", False), (">= 2x jax", None),
    ]  # fmt: skip
    row.command = "python -m bench g"
    text = report.missed([row])
    assert text.startswith("1 targets missed") and ">= 2.1x best peer; >= 90% of peak" in text and row.command in text


def test_rates_are_better_when_larger() -> None:
    row = Row("g", "c", "GB/s", {US: 20.0, "torch": 10.0}, rate=True, targets=[Target(15), Target(2, "torch")])
    assert row.advantage("torch") == 2 and row.verdicts() == [(">= 15", True), (">= 2x torch", True)]


def test_the_better_way_of_a_contender_counts() -> None:
    assert runner.merge({"loop, 1": 2.0, "loop, 2": 1.0, US: 3.0}) == {"loop": 1.0, US: 3.0}


def test_every_turn_begins_with_a_pause_and_an_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list = []
    monkeypatch.setattr(runner.time, "sleep", lambda s: log.append(s))
    runner.start(log.append, Settings(2))
    runner.start(log.append, Settings(1))
    assert log == [runner.SETTLE, 1, 1]


def test_steps_carry_their_targets() -> None:
    for mlp, (compiled, _) in steps.TARGETS.items():
        assert compiled, f"{mlp.name} has no target"


def test_peaks_are_plausible() -> None:
    measured = peak.measure_peak(1, 0.05)
    assert 1e9 < measured.flops64 < 1.5 * measured.flops < 1e13
    assert 1e8 < measured.bytes < 1e13


@pytest.mark.skipif(native.compiled() is None, reason="needs a compiler")
def test_reading_goes_over_all_of_the_matrix() -> None:
    numbers = reads.memory(16 * 64, huge=False)
    numbers[:] = np.arange(numbers.size) % 7
    assert numbers.ctypes.data % (2 << 20) == 0
    for streams, side_by_side in reads.ORDERS.values():
        assert reads.reader([numbers], 16, 64, streams, side_by_side)(3) == 3 * numbers.sum()
    rows = reads.measure(Settings(2, only="L1", seconds=0.01), peak.Peak(1e11, 1e11, 1e10, "", ""))
    assert len(rows) == 2 and all(r.rate and set(r.values) == set(reads.ORDERS) for r in rows)


def test_peaks_and_cases_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "compiled", lambda: None)
    monkeypatch.setattr(chains, "torch_or_none", lambda settings: None)
    measured = peak.measure_peak(1, 0.01)
    assert measured.width == 0 and measured.flops > 1e8 and "NumPy" in measured.how
    (row,) = chains.measure(Settings(1, quick=True, only="affine, L1", seconds=0.01), measured)
    assert "loop" not in row.values and row.verdicts() == [(row.targets[0].text(), None)]


def test_memory_of_a_step_is_measured_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "bench.memory", US, "SimpleCNN, batch 64", "1"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(rv.__file__).parents[1])])}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert 15 < float(done.stdout) < 80  # two activations of 8.4 MB, and gradients and states of 0.5 million parameters
