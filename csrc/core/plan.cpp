// SPDX-License-Identifier: Apache-2.0
#include "core/plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <sstream>

namespace rv {

void view_extent(const View& v, int64_t& low, int64_t& high) {
  low = high = 0;
  if (v.size() == 0) return;
  const int64_t item = item_size(v.dtype);
  high = item;
  for (int d = 0; d < v.ndim; ++d) {
    const int64_t reach = (v.shape[d] - 1) * v.stride[d] * item;
    (reach < 0 ? low : high) += reach;
  }
}

bool addressable(const View& v) {
  int64_t bytes = item_size(v.dtype), low = 0, high = item_size(v.dtype), reach;
  for (int d = 0; d < v.ndim; ++d) {
    const int64_t n = std::max<int64_t>(v.shape[d], 1);
    if (v.shape[d] < 0 || __builtin_mul_overflow(bytes, n, &bytes)) return false;
    if (__builtin_mul_overflow(n - 1, v.stride[d], &reach) ||
        __builtin_mul_overflow(reach, int64_t{item_size(v.dtype)}, &reach) ||
        __builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high))
      return false;
  }
  return true;
}

const char* written_view_error(const View& v) {
  // Distinct if, from the smallest stride up, each axis steps over all that the axes before it cover.
  if (v.size() <= 1) return nullptr;
  std::vector<std::pair<int64_t, int64_t>> axes;  // |stride|, shape
  for (int d = 0; d < v.ndim; ++d)
    if (v.shape[d] > 1) axes.emplace_back(std::abs(v.stride[d]), v.shape[d]);
  std::sort(axes.begin(), axes.end());
  int64_t covered = 1;
  for (const auto& [stride, n] : axes) {
    if (stride == 0) return "an output must not broadcast (stride 0)";
    if (stride < covered) return "elements of an output must not overlap";
    covered += stride * (n - 1);
  }
  return nullptr;
}

// ---------------------------------------------------------------- executor

void Instruction::prepare() {
  const int64_t bytes = kernel->prepare ? kernel->prepare(args, nullptr) : 0;
  if (bytes == 0) return;
  prepared = std::shared_ptr<std::byte[]>(make_buffer(static_cast<size_t>(bytes)));
  kernel->prepare(args, prepared.get());
  args.prepared = prepared.get();
}

int Executor::run(const Instruction* list, int n, double shared_cost, TeamState& state, const Prologue* first,
                  double* times) {
  using Clock = std::chrono::steady_clock;
  FlushDenormals flush;
  int failed = -1;
  parallel(shared_cost, [&](const Region& region) {
    Team single(&state);
    if (first) {
      Team team = region.team(state, first->cost);
      first->body(first->context, team);
    }
    for (int i = 0; i < n; ++i) {
      const Instruction& ins = list[i];
      const Clock::time_point start = times ? Clock::now() : Clock::time_point{};
      if (ins.parallel) {
        Team team = region.team(state, ins.cost);
        ins.kernel->run(ins.args, team);
      } else {
        ins.kernel->run(ins.args, single);
      }
      if (times) [[unlikely]]
        times[i] = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
      if (state.failed.load(std::memory_order_relaxed)) [[unlikely]] {
        failed = i;
        return;
      }
    }
  });
  return failed;
}

void throw_fault(const FaultReport& r, const std::string& label) {
  std::ostringstream text;
  text.precision(r.number == std::trunc(r.number) ? 15 : 9);
  if (r.has_range)
    text << label << ": index " << r.value << " at position " << r.where << " must be in [" << r.low << ", " << r.high
         << "]";
  else text << label << ": " << r.number << " at position " << r.where;
  throw KernelFault(text.str(), r.index);
}

// ---------------------------------------------------------------- plan

namespace {

std::string text(const View& v) {
  std::ostringstream s;
  s << kDTypeName[static_cast<int>(v.dtype)] << '(';
  for (int d = 0; d < v.ndim; ++d) s << (d ? ", " : "") << v.shape[d];
  s << ')';
  if (!addressable(v) || !v.contiguous()) {
    s << " strides(";
    for (int d = 0; d < v.ndim; ++d) s << (d ? ", " : "") << v.stride[d];
    s << ')';
  }
  return s.str();
}

std::string slot_text(const std::vector<Slot>& slots, const Operand& o) {
  static const char* kinds[] = {"arena", "bound", "input", "output"};
  const Slot& s = slots[o.slot];
  std::ostringstream out;
  out << kinds[static_cast<int>(s.kind)] << '#' << o.slot;
  const int64_t offset = o.byte_offset + (s.kind == SlotKind::arena ? s.offset : 0);
  if (offset) out << '+' << offset;
  out << ' ' << text(o.view);
  return out.str();
}

bool same_place(const Operand& x, const Operand& y) {
  const View &v = x.view, &w = y.view;
  return x.slot == y.slot && x.byte_offset == y.byte_offset && v.dtype == w.dtype && v.ndim == w.ndim &&
         std::equal(v.shape, v.shape + v.ndim, w.shape) && std::equal(v.stride, v.stride + v.ndim, w.stride);
}

}  // namespace

void Plan::check_operand(const Operand& o, bool written, const std::string& where) const {
  auto refuse = [&](const std::string& rule) { throw std::invalid_argument(where + ": " + rule); };
  if (o.slot < 0 || o.slot >= static_cast<int>(slots_.size()))
    refuse("slot " + std::to_string(o.slot) + " must be in [0, " + std::to_string(slots_.size()) + ")");
  const Slot& slot = slots_[o.slot];
  const View& v = o.view;
  const int64_t item = item_size(v.dtype);
  const bool fits = addressable(v);
  int64_t low = 0, high = 0;
  if (fits) view_extent(v, low, high);
  const bool empty = high == low;
  if (!fits || __builtin_add_overflow(low, o.byte_offset, &low) || __builtin_add_overflow(high, o.byte_offset, &high))
    refuse(text(v) + " is larger than memory can be");
  if (!empty && (low < slot.low || high > slot.low + slot.nbytes))
    refuse("bytes [" + std::to_string(low) + ", " + std::to_string(high) + ") of " + text(v) +
           " must lie within the slot's [" + std::to_string(slot.low) + ", " + std::to_string(slot.low + slot.nbytes) +
           ")");
  const int64_t base = slot.kind == SlotKind::arena   ? slot.offset
                       : slot.kind == SlotKind::bound ? static_cast<int64_t>(reinterpret_cast<intptr_t>(slot.data) % 64)
                                                      : 0;
  if ((base + o.byte_offset) % item) refuse("its address must be a multiple of the item size " + std::to_string(item));
  if (!written) return;
  if (slot.kind == SlotKind::input) refuse("an input slot must not be written");
  if (!slot.writable) refuse("a read-only array must not be written");
  if (const char* rule = written_view_error(v)) refuse(rule + (", but it is " + text(v)));
}

void Plan::check_fixed(const InstructionSpec& spec, bool once, const std::string& where) const {
  for (const Operand& o : spec.ins)
    if (once && !slots_[o.slot].fixed)
      throw std::invalid_argument(where + ": runs once, so it must read fixed slots alone");
  for (const Operand& o : spec.outs)
    if (slots_[o.slot].fixed != once)
      throw std::invalid_argument(where + ": fixed slots are written by what runs once, and by nothing else");
}

// An operand that several instructions read in the same way is copied once.
const std::byte* Plan::choose_pack(const Instruction& ins, const InstructionSpec& spec) {
  const Packing p = ins.kernel->packing ? ins.kernel->packing(ins.args) : Packing{};
  if (p.operand < 0 || !slots_[spec.ins[p.operand].slot].fixed) return nullptr;
  const Operand& operand = spec.ins[p.operand];
  for (const Pack& other : packs_)
    if (other.kernel == ins.kernel && other.packing.layout == p.layout && other.packing.bytes == p.bytes &&
        same_place(other.operand, operand))
      return other.memory.get();
  packs_.push_back({ins.kernel, ins.args, p, operand, make_buffer(static_cast<size_t>(p.bytes))});
  packed_bytes_ += p.bytes;
  cost_of_making_ += p.cost;
  return packs_.back().memory.get();
}

Plan::Plan(std::vector<Slot> slots, std::vector<InstructionSpec> specs, int once)
    : slots_(std::move(slots)), specs_(std::move(specs)), patches_(slots_.size()), once_(once) {
  if (once < 0 || once > static_cast<int>(specs_.size()))
    throw std::invalid_argument("once must be a number of instructions");
  for (size_t s = 0; s < slots_.size(); ++s) {
    Slot& slot = slots_[s];
    const std::string where = "slot " + std::to_string(s);
    if (slot.nbytes < 0 || slot.offset < 0 || slot.nbytes > std::numeric_limits<int64_t>::max() - 64 - slot.offset)
      throw std::invalid_argument(where + ": offset and size must not be negative, nor their sum beyond 2^63");
    if (slot.kind == SlotKind::arena) arena_bytes_ = std::max(arena_bytes_, slot.offset + slot.nbytes);
    if (slot.kind == SlotKind::input) inputs_.push_back(static_cast<int>(s));
    if (slot.kind == SlotKind::output) outputs_.push_back(static_cast<int>(s));
  }
  input_dtype_.assign(inputs_.size(), -1);

  size_t n_views = 0;
  for (const InstructionSpec& spec : specs_) n_views += spec.ins.size() + spec.outs.size();
  views_.reserve(n_views);  // Args point into it
  int64_t shared = 0;
  for (size_t i = 0; i < specs_.size(); ++i) {
    const InstructionSpec& spec = specs_[i];
    const std::string where = "instruction " + std::to_string(i) + " (" + spec.label + ")";
    Instruction ins;
    ins.kernel = spec.kernel;
    auto add = [&](const std::vector<Operand>& list, bool written, const char* what) {
      for (size_t o = 0; o < list.size(); ++o) {
        check_operand(list[o], written, where + ": " + what + " " + std::to_string(o));
        const int slot = list[o].slot;
        if (slots_[slot].kind == SlotKind::input)  // their slots are in order
          input_dtype_[std::lower_bound(inputs_.begin(), inputs_.end(), slot) - inputs_.begin()] =
              static_cast<int>(list[o].view.dtype);
        if (const Slot& s = slots_[slot]; written && s.kind == SlotKind::bound) {
          int64_t low, high;
          view_extent(list[o].view, low, high);
          const std::byte* at = static_cast<const std::byte*>(s.data) + list[o].byte_offset;
          changed_.emplace_back(at + low, at + high);
        }
        patches_[slot].push_back({static_cast<int>(views_.size()), list[o].byte_offset});
        views_.push_back(list[o].view);
      }
    };
    ins.args.in = views_.data() + views_.size();
    add(spec.ins, false, "input");
    ins.args.out = views_.data() + views_.size();
    add(spec.outs, true, "output");
    ins.args.n_in = static_cast<int>(spec.ins.size());
    ins.args.n_out = static_cast<int>(spec.outs.size());
    ins.args.attrs = spec.attrs.get();
    if (ins.kernel->check)
      if (const char* rule = ins.kernel->check(ins.args))
        throw std::invalid_argument(where + ": " + spec.name + ": " + rule);
    const bool runs_once = static_cast<int>(i) < once;
    check_fixed(spec, runs_once, where);
    ins.cost = ins.kernel->cost ? ins.kernel->cost(ins.args) : 0;
    ins.parallel = ins.cost > kTeamNanoseconds;
    if (ins.parallel) (runs_once ? shared_cost_once_ : shared_cost_) += ins.cost;
    (runs_once ? cost_of_making_ : cost_) += ins.cost;
    if (!runs_once) ins.args.packed = choose_pack(ins, spec);
    if (ins.kernel->shared) shared = std::max(shared, ins.kernel->shared(ins.args));
    list_.push_back(ins);
  }

  const int64_t arena = (arena_bytes_ + 63) / 64 * 64;
  check_memory(static_cast<size_t>(arena), static_cast<size_t>(shared));
  shared_bytes_ = shared;
  arena_ = make_buffer(static_cast<size_t>(arena + shared));
  for (Instruction& ins : list_) {
    ins.args.shared = arena_.get() + arena;
    ins.prepare();
  }
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].kind == SlotKind::arena) bind(static_cast<int>(s), arena_.get() + slots_[s].offset);
    if (slots_[s].kind == SlotKind::bound) bind(static_cast<int>(s), slots_[s].data);
  }
}

// Before anything is allocated: a system that promises more than it has ends the process when memory is touched.
void Plan::check_memory(size_t arena, size_t shared) const {
  size_t results = 0;
  for (const int s : outputs_) results += static_cast<size_t>(slots_[s].nbytes);
  const size_t all = arena + shared + results;
  if (all <= memory_limit() && all >= arena) return;
  // the one whose operands, or scratch, reach farthest
  size_t most = 0, which = 0;
  for (size_t i = 0; i < specs_.size(); ++i) {
    size_t own = list_[i].kernel->shared ? static_cast<size_t>(list_[i].kernel->shared(list_[i].args)) : 0;
    for (const auto* operands : {&specs_[i].ins, &specs_[i].outs})
      for (const Operand& o : *operands)
        if (const Slot& s = slots_[o.slot]; s.kind == SlotKind::arena || s.kind == SlotKind::output)
          own = std::max(own, static_cast<size_t>(s.offset + s.nbytes));
    if (own > most) most = own, which = i;
  }
  auto gigabytes = [](size_t bytes) { return std::to_string((bytes + (1 << 30) - 1) >> 30) + " GiB"; };
  throw OutOfMemory("plan: " + gigabytes(all) + " of memory are needed, the most by instruction " +
                    std::to_string(which) + " (" + specs_[which].label + "); the process may have " +
                    gigabytes(memory_limit()));
}

void Plan::bind(int slot, void* data) {
  for (const Patch& p : patches_[slot]) views_[p.view].data = static_cast<std::byte*>(data) + p.byte_offset;
}

std::mutex& Plan::mutex() {
  if (fork_depth_ != fork_depth()) {
    turn_.release();  // a locked mutex must not be destroyed
    turn_ = std::make_unique<Turn>();
    fork_depth_ = fork_depth();
  }
  return turn_->mutex;
}

// What runs once, then the copies.
int Plan::make_fixed(double* times) {
  double cost = 0;
  for (const Pack& p : packs_) cost += p.packing.cost;
  const int failed = Executor::run(list_.data(), once_, shared_cost_once_, turn_->team, nullptr, times);
  if (failed >= 0) return failed;
  const auto pack = [](void* context, Team& team) {
    for (Pack& p : *static_cast<std::vector<Pack>*>(context)) p.kernel->pack(p.args, p.memory.get(), team);
  };
  const Executor::Prologue packing{pack, &packs_, cost};
  if (!packs_.empty()) Executor::run(nullptr, 0, cost > kTeamNanoseconds ? cost : 0, turn_->team, &packing);
  made_ = true;
  return -1;
}

void Plan::run(const Executor::Prologue* first, double* times) {
  const double shared = shared_cost_ + (first && first->cost > kTeamNanoseconds ? first->cost : 0);
  int failed = -1;
  try {
    if (!made_) [[unlikely]]
      failed = make_fixed(times);
    if (failed < 0) {
      const int n = static_cast<int>(list_.size()) - once_;
      failed = Executor::run(list_.data() + once_, n, shared, turn_->team, first, times ? times + once_ : nullptr);
      if (failed >= 0) failed += once_;
    }
  } catch (...) {  // no memory
    turn_->team.failed.store(false);
    throw;
  }
  if (failed < 0) return;
  turn_->team.failed.store(false);
  throw_fault(turn_->team.report, specs_[failed].label);
}

std::string Plan::describe() const {
  std::ostringstream s;
  for (size_t i = 0; i < specs_.size(); ++i) {
    const InstructionSpec& spec = specs_[i];
    s << i << ": " << spec.label << " [" << spec.name << (list_[i].parallel ? ", team" : "")
      << (static_cast<int>(i) < once_ ? ", once" : "") << (list_[i].args.packed ? ", packed" : "") << "] ";
    for (size_t k = 0; k < spec.outs.size(); ++k) s << (k ? ", " : "") << slot_text(slots_, spec.outs[k]);
    s << " <- ";
    for (size_t k = 0; k < spec.ins.size(); ++k) s << (k ? ", " : "") << slot_text(slots_, spec.ins[k]);
    s << '\n';
  }
  return s.str();
}

}  // namespace rv
