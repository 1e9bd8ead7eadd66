// SPDX-License-Identifier: Apache-2.0
// The module ranvier._native: see docs/design/plan.md.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/cpu.h"
#include "core/units.h"
#include "python/apply.h"
#include "python/attrs.h"
#include "python/create.h"
#include "python/eager.h"
#include "python/memo.h"
#include "python/plan_call.h"
#include "python/public.h"
#include "python/tape.h"
#include "python/tensors.h"
#include "python/trace_call.h"

namespace py = pybind11;
using namespace rv;

namespace {

PyArrayObject* as_array(py::handle h, const std::string& what) {
  if (!PyArray_Check(h.ptr())) throw py::type_error(what + " must be an ndarray, not " + Py_TYPE(h.ptr())->tp_name);
  return reinterpret_cast<PyArrayObject*>(h.ptr());
}

DType as_dtype(int code, const std::string& what) {
  if (code < 0 || code >= kDTypes)
    throw py::value_error(what + ": dtype code " + std::to_string(code) + " must be in [0, " + std::to_string(kDTypes) +
                          ")");
  return static_cast<DType>(code);
}

Slot parse_slot(py::sequence s, const std::string& where) {
  const auto kind = s[0].cast<std::string>();
  Slot slot;
  if (kind == "arena") {
    slot.kind = SlotKind::arena;
    slot.offset = s[1].cast<int64_t>();
    slot.nbytes = s[2].cast<int64_t>();
  } else if (kind == "bound") {
    slot.kind = SlotKind::bound;
    PyArrayObject* a = as_array(s[1], where);
    View v;
    if (!view_of(a, v))
      throw py::value_error(where + ": a bound array must be aligned, in native byte order, of a supported dtype");
    int64_t high;
    view_extent(v, slot.low, high);
    slot.nbytes = high - slot.low;
    slot.data = v.data;
    slot.writable = PyArray_ISWRITEABLE(a);
    Py_INCREF(a);
    slot.owner = {a, [](void* p) { Py_DECREF(static_cast<PyObject*>(p)); }};
  } else if (kind == "input") {
    slot.kind = SlotKind::input;
    slot.nbytes = s[1].cast<int64_t>();
  } else if (kind == "output") {
    slot.kind = SlotKind::output;
    slot.dtype = as_dtype(s[1].cast<int>(), where);
    slot.shape = s[2].cast<std::vector<int64_t>>();
    slot.nbytes = item_size(slot.dtype);
    if (slot.shape.size() > kMaxDims) throw py::value_error(where + ": at most 8 axes");
    for (int64_t n : slot.shape) {
      if (n < 0) throw py::value_error(where + ": sizes must not be negative");
      slot.nbytes *= n;
    }
  } else {
    throw py::value_error(where + ": kind '" + kind + "' must be arena, bound, input or output");
  }
  return slot;
}

Operand parse_operand(py::sequence o, const std::string& where) {
  if (o.size() != 5) throw py::value_error(where + ": an operand is (slot, byte_offset, dtype_code, shape, strides)");
  Operand result;
  result.slot = o[0].cast<int>();
  result.byte_offset = o[1].cast<int64_t>();
  View& v = result.view;
  v.dtype = as_dtype(o[2].cast<int>(), where);
  const auto shape = o[3].cast<std::vector<int64_t>>(), strides = o[4].cast<std::vector<int64_t>>();
  if (shape.size() > kMaxDims) throw py::value_error(where + ": at most 8 axes");
  if (shape.size() != strides.size()) throw py::value_error(where + ": shape and strides must be equally long");
  v.ndim = static_cast<int>(shape.size());
  for (int d = 0; d < v.ndim; ++d) {
    if (shape[d] < 0) throw py::value_error(where + ": sizes must not be negative");
    v.shape[d] = shape[d];
    v.stride[d] = strides[d];
  }
  return result;
}

std::unique_ptr<PlanObject> make_plan(py::sequence slots, py::sequence instructions, int once, std::vector<int> fixed) {
  std::vector<Slot> slot_list;
  for (size_t i = 0; i < slots.size(); ++i) slot_list.push_back(parse_slot(slots[i], "slot " + std::to_string(i)));
  std::vector<InstructionSpec> specs;
  for (size_t i = 0; i < instructions.size(); ++i) {
    const std::string at = "instruction " + std::to_string(i);
    py::sequence t = instructions[i];
    if (t.size() != 5) throw py::value_error(at + ": must be (kernel, ins, outs, attrs, label)");
    InstructionSpec spec;
    spec.label = t[4].cast<std::string>();
    const std::string where = at + " (" + spec.label + ")";
    for (py::handle o : t[1].cast<py::sequence>())
      spec.ins.push_back(parse_operand(o.cast<py::sequence>(), where + ": input"));
    for (py::handle o : t[2].cast<py::sequence>())
      spec.outs.push_back(parse_operand(o.cast<py::sequence>(), where + ": output"));
    set_kernel(spec, t[0].cast<std::string>(), t[3].cast<py::dict>(), where);
    specs.push_back(std::move(spec));
  }
  for (int i : fixed) {
    if (i < 0 || i >= static_cast<int>(slot_list.size()) ||
        (slot_list[i].kind != SlotKind::arena && slot_list[i].kind != SlotKind::bound))
      throw py::value_error("slot " + std::to_string(i) + ": only an arena or bound slot can be fixed");
    slot_list[i].fixed = true;
  }
  return std::make_unique<PlanObject>(std::move(slot_list), std::move(specs), once);
}

// What an object holds, for the collector of cycles: a tensor's hook, say, may lead back to the plan that watches the
// tensor.
template <class F> int visit_held(const PlanObject& p, F&& visit) {
  for (const auto& [tensor, version] : p.watched)
    if (const int stop = visit(tensor.ptr())) return stop;
  return 0;
}
template <class F> int visit_held(const TraceCall& t, F&& visit) {
  for (const auto* pairs : {&t.entry_grads, &t.grads})
    for (const auto& [tensor, grad] : *pairs)
      for (PyObject* o : {tensor.ptr(), grad.ptr()})
        if (const int stop = visit(o)) return stop;
  for (const py::object& tensor : t.updated)
    if (const int stop = visit(tensor.ptr())) return stop;
  if (const int stop = visit(t.guards.ptr())) return stop;
  return visit(t.plan.ptr());
}
void drop_held(PlanObject& p) { std::exchange(p.watched, {}); }
void drop_held(TraceCall& t) {
  std::exchange(t.guards, py::none());
  std::exchange(t.entry_grads, {});
  std::exchange(t.grads, {});
  std::exchange(t.updated, {});
}

// Objects of T take part in the collection of cycles.
template <class T> py::custom_type_setup collected() {
  return py::custom_type_setup([](PyHeapTypeObject* heap) {
    PyTypeObject& type = heap->ht_type;
    type.tp_flags |= Py_TPFLAGS_HAVE_GC;
    type.tp_traverse = [](PyObject* self, visitproc visit, void* arg) {
      Py_VISIT(Py_TYPE(self));
      const T* held = held_by<T>(self);
      return held ? visit_held(*held, [&](PyObject* o) { return visit(o, arg); }) : 0;
    };
    type.tp_clear = [](PyObject* self) {
      if (T* held = held_by<T>(self)) drop_held(*held);
      return 0;
    };
  });
}

// eager_add(call_id, arrays, kernel, outs, attrs, label, listed); an out is (dtype_code, shape), or the number of the
// argument that the kernel updates in place.
py::object py_eager_add(int64_t call_id, py::sequence arrays, std::string kernel, py::sequence outs, py::dict attrs,
                        std::string label, bool listed) {
  std::vector<PyArrayObject*> list;
  std::vector<py::object> keep;
  for (py::handle a : arrays) {
    keep.push_back(py::reinterpret_borrow<py::object>(a));
    list.push_back(as_array(a, label + ": argument " + std::to_string(list.size())));
  }
  std::vector<EagerOut> out_list;
  for (py::handle o : outs) {
    EagerOut out;
    if (py::isinstance<py::int_>(o)) {
      out.alias = o.cast<int>();
    } else {
      auto t = o.cast<py::sequence>();
      out.code = t[0].cast<int>();
      out.shape = t[1].cast<std::vector<npy_intp>>();
    }
    out_list.push_back(std::move(out));
  }
  InstructionSpec spec;
  set_kernel(spec, kernel, attrs, label);
  spec.label = std::move(label);
  PyObject* result = eager_add(call_id, list, std::move(spec), std::move(out_list), listed);
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

// Elementwise rows: (kind, arity, types); kernels: ("KERNEL", {attribute: type}).
py::dict op_table() {
  py::dict table;
  for (int i = 0; i < kRows; ++i) {
    const ElementwiseRow& r = kRowTable[i];
    const char* kind = r.kind == RowKind::plain ? "EW" : r.kind == RowKind::predicate ? "EWP" : "EWX";
    table[r.name] = py::make_tuple(kind, r.arity, r.types);
  }
  for (int i = 0; i < kKernels; ++i)
    table[kKernelNames[i]] = py::make_tuple("KERNEL", schema_dict(*rv::table().kernels[i]));
  return table;
}

// (name, item size, class) by code
py::list dtype_table() {
  py::list table;
#define DTYPE(name, type, numpy, number, kind) table.append(py::make_tuple(#numpy, sizeof(type), #kind));
#include "core/dtypes.def"
  return table;
}

// Those of attribute `flags` of matmul, 32 times the number: 0 is what is chosen.
py::tuple matmul_variants() {
  return py::make_tuple("chosen"
#define VARIANT(name, ...) , #name
#include "cpu/gemm/variants.def"
  );
}

ThreadCount threads_at_import;

py::dict config() {
  py::dict c;
  c["isa"] = table().isa;
  c["amx"] = matrix_units.amx;
  c["int8_dot"] = matrix_units.int8_dot ? "used" : "not used";
  c["avx512_bf16"] = matrix_units.bf16_dot ? "used" : "not used";
  c["threads"] = workers::kind;
  c["num_threads"] = num_threads();
  c["default_threads"] = threads_at_import.n;
  c["default_threads_reason"] = threads_at_import.reason;
  c["eager_signatures"] = eager_entries();
  c["cached_bytes"] = cached_bytes();
  c["compiler"] = __VERSION__;
  return c;
}

PyMethodDef eager_def = {"eager", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(eager)), METH_FASTCALL,
                         "eager(call_id, *arrays): run a known signature, or return None."};
PyMethodDef filled_def = {"filled", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(filled)), METH_FASTCALL,
                          "filled(size, dtype, number): a fresh small array of that number, or None."};
PyMethodDef tape_def = {"read_tape", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(read_tape)),
                        METH_FASTCALL,
                        "read_tape(root, seed): the tape below a tensor, as pullback.py looks it up, or None."};
PyMethodDef give_def = {"give_gradients", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(give_gradients)),
                        METH_FASTCALL,
                        "give_gradients(leaves, positions, arrays): leave new arrays in .grad; False where not."};
PyMethodDef release_def = {"release_nodes", release_nodes, METH_O, "release_nodes(nodes): node.release() of each."};
PyMethodDef run_def = {"run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(plan_run)), METH_FASTCALL,
                       "run(*arrays): run the plan; returns a tuple of the outputs."};
PyMethodDef call_def = {
    "run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(trace_call)), METH_FASTCALL,
    "run(*tensors): what the compiled function returns, or NotImplemented where Python has to look."};

}  // namespace

PYBIND11_MODULE(_native, m) {
  std::string warning;
  try {
    init_arrays();
    choose_table(warning);
  } catch (const std::runtime_error& e) { throw py::import_error(e.what()); }
  if (!warning.empty() && PyErr_WarnEx(PyExc_RuntimeWarning, warning.c_str(), 1) < 0) throw py::error_already_set();
  threads_at_import = default_threads();
  init_threads(threads_at_import.n);

  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const KernelFault&) { set_python_error(); }
  });

  py::class_<PlanObject> plan(m, "Plan", py::is_final(), collected<PlanObject>());
  plan.def(py::init(&make_plan), py::arg("slots"), py::arg("instructions"), py::arg("once") = 0,
           py::arg("fixed") = std::vector<int>{})
      .def_property_readonly("arena_bytes", &PlanObject::arena_bytes)
      .def_property_readonly("packed_bytes", &PlanObject::packed_bytes)
      .def_property_readonly("shared_bytes", &PlanObject::shared_bytes)
      .def("watch", &plan_watch, py::arg("tensors"))
      .def("renew", &plan_renew)
      .def("describe", &PlanObject::describe)
      .def("timings", &plan_timings, py::arg("repeats"))
      .def("loop", &plan_loop, py::arg("data"), py::arg("index"), py::arg("batch"), py::arg("begin"), py::arg("end"),
           py::arg("totals"), py::arg("every") = 0);
  // `run` is called once a step: a plain method descriptor skips pybind11's dispatcher
  plan.attr("run") =
      py::reinterpret_steal<py::object>(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(plan.ptr()), &run_def));

  py::class_<TraceCall> trace_call(m, "TraceCall", py::is_final(), collected<TraceCall>());
  trace_call.def(py::init<py::object, py::sequence, bool, py::object, py::sequence, bool, py::sequence, py::iterator>(),
                 py::arg("plan"), py::arg("arrays"), py::arg("grad_enabled"), py::arg("guards"), py::arg("grads"),
                 py::arg("has_result"), py::arg("updated"), py::arg("versions"));
  trace_call.attr("run") = py::reinterpret_steal<py::object>(
      PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(trace_call.ptr()), &call_def));

  m.def("connect", &connect);
  m.attr("read_tape") = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&tape_def, nullptr, nullptr));
  m.attr("give_gradients") = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&give_def, nullptr, nullptr));
  m.attr("release_nodes") = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&release_def, nullptr, nullptr));
  m.attr("Public") = py::reinterpret_steal<py::object>(new_public_type());
  m.attr("max_eager_arrays") = kEagerArrays;
  m.attr("eager") = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&eager_def, nullptr, nullptr));
  m.def("eager_add", &py_eager_add, py::arg("call_id"), py::arg("arrays"), py::arg("kernel"), py::arg("outs"),
        py::arg("attrs"), py::arg("label"), py::arg("listed") = false);
  m.attr("filled") = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&filled_def, nullptr, nullptr));
  m.def("eager_add_view", [](int64_t call_id, py::handle array, py::handle out) {
    eager_add_view(call_id, as_array(array, "array"), as_array(out, "out"));
  });
  m.def("forget", [] {
    forget();
    forget_numbers();
  });
  m.def("op_table", &op_table);
  m.def("matmul_variants", &matmul_variants);
  m.def("dtype_table", &dtype_table);
  m.def("set_num_threads", [](int n) {
    if (n < 1) throw py::value_error("set_num_threads: n=" + std::to_string(n) + " must be at least 1");
    set_num_threads(n);
  });
  m.def("num_threads", &num_threads);
  m.def("isa", [] { return table().isa; });
  m.def("config", &config);
  m.def("set_eager_parallel", &set_eager_parallel);
}
