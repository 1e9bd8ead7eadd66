// SPDX-License-Identifier: Apache-2.0
// A plan: a flat list of instructions over slots of memory, checked once, then run by one call.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/kernel.h"
#include "core/memory.h"
#include "core/threads.h"

namespace rv {

// A run of a lower total cost keeps the GIL.
inline constexpr double kSerialNanoseconds = 20e3;
// An instruction of a lower cost runs on one thread: handing a loop over to another takes a fraction of a microsecond.
inline constexpr double kTeamNanoseconds = 4e3;

struct Instruction {
  const Kernel* kernel = nullptr;
  Args args;
  bool parallel = false;
  double cost = 0;
  std::shared_ptr<std::byte[]> prepared;

  void prepare();
};

// A value that breaks a rule: IndexError or ValueError in Python.
struct KernelFault : std::runtime_error {
  KernelFault(const std::string& text, bool is_index) : runtime_error(text), index(is_index) {}
  bool index;
};

enum class SlotKind { arena, bound, input, output };

struct Slot {
  SlotKind kind;
  int64_t offset = 0, nbytes = 0;  // arena: offset; all: size in bytes
  int64_t low = 0;                 // bound: lowest byte relative to data (<= 0 for negative strides)
  void* data = nullptr;            // bound
  std::shared_ptr<void> owner;     // bound: keeps the memory alive
  bool writable = true;
  DType dtype = DType::f32;    // output
  std::vector<int64_t> shape;  // output
  bool fixed = false;          // bound, arena: runs find the same values there until `renew`
};

struct Operand {
  int slot;
  int64_t byte_offset;
  View view;  // data is not set
};

struct InstructionSpec {
  std::string name, label;  // of the kernel; of the instruction
  const Kernel* kernel;
  std::vector<Operand> ins, outs;
  std::shared_ptr<const void> attrs;
};

// The view's lowest byte, and one past its highest, relative to its data; {0, 0} if it is empty.
void view_extent(const View& v, int64_t& low, int64_t& high);
// Do its elements, and the bytes over which they lie, have 64-bit numbers? Whoever takes a view from outside asks
// first.
bool addressable(const View& v);
// What a view lacks to be one that is written: nullptr if its elements are distinct memory.
const char* written_view_error(const View& v);

// Runs instructions, the costly ones on several threads; returns the number of the one that failed, or -1.
struct Executor {
  struct Prologue {  // work before the first instruction
    void (*body)(void* context, Team&);
    void* context;
    double cost;
  };
  // `shared_cost`: of the instructions that are. `times` takes the nanoseconds of each instruction.
  static int run(const Instruction* list, int n, double shared_cost, TeamState& state, const Prologue* first = nullptr,
                 double* times = nullptr);
};

class Plan {
 public:
  // The first `once` instructions make what is fixed of what is fixed: their results, and copies of fixed operands, are
  // kept.
  Plan(std::vector<Slot> slots, std::vector<InstructionSpec> specs, int once = 0);

  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<int>& inputs() const { return inputs_; }  // their slots
  const std::vector<int>& outputs() const { return outputs_; }
  int64_t arena_bytes() const { return arena_bytes_; }
  int64_t packed_bytes() const { return packed_bytes_; }
  int64_t shared_bytes() const { return shared_bytes_; }  // scratch of the instruction that needs most of it
  double cost() const { return cost_; }
  bool long_run() const { return cost_ + (made_ ? 0 : cost_of_making_) > kSerialNanoseconds; }
  std::string describe() const;
  const std::vector<InstructionSpec>& instructions() const { return specs_; }
  // The dtype as which instructions read input k, or -1 if none does.
  int input_dtype(int k) const { return input_dtype_[k]; }

  // Whether instructions write bound memory within these bytes.
  bool changes(const void* data, int64_t nbytes) const {
    const auto* low = static_cast<const std::byte*>(data);
    for (const auto& [begin, end] : changed_)
      if (low < end && begin < low + nbytes) return true;
    return false;
  }

  // Pointers for the input and output slots, in order; then the instructions. Throws KernelFault.
  void bind(int slot, void* data);
  // First makes what is kept, if it is not there.
  void run(const Executor::Prologue* first = nullptr, double* times = nullptr);
  void renew() { made_ = false; }  // nothing is kept any more

  // Held by whoever binds and runs. Ask for it with the GIL: in a forked child it is a new one, because the thread
  // that held the old one may not exist there.
  std::mutex& mutex();

 private:
  struct Turn {
    std::mutex mutex;
    TeamState team;
  };
  struct Patch {
    int view;
    int64_t byte_offset;
  };
  struct Pack {  // a copy of a fixed operand
    const Kernel* kernel;
    Args args;
    Packing packing;
    Operand operand;
    Buffer memory;
  };
  void check_operand(const Operand& o, bool written, const std::string& where) const;
  void check_fixed(const InstructionSpec& spec, bool once, const std::string& where) const;
  void check_memory(size_t arena, size_t shared) const;
  const std::byte* choose_pack(const Instruction& ins, const InstructionSpec& spec);
  int make_fixed(double* times);

  std::vector<Slot> slots_;
  std::vector<InstructionSpec> specs_;
  std::vector<View> views_;
  std::vector<Instruction> list_;
  std::vector<std::vector<Patch>> patches_;  // by slot
  std::vector<int> inputs_, outputs_, input_dtype_;
  std::vector<std::pair<const std::byte*, const std::byte*>> changed_;  // bound memory that instructions write
  Buffer arena_;
  std::vector<Pack> packs_;
  int once_;
  bool made_ = false;  // whether what is kept is there
  int64_t arena_bytes_ = 0, packed_bytes_ = 0, shared_bytes_ = 0;
  double cost_ = 0, shared_cost_ = 0;                 // of a run without what is kept
  double cost_of_making_ = 0, shared_cost_once_ = 0;  // of that; and of the instructions in it that are shared out
  std::unique_ptr<Turn> turn_ = std::make_unique<Turn>();
  uint32_t fork_depth_ = fork_depth();
};

[[noreturn]] void throw_fault(const FaultReport& report, const std::string& label);

}  // namespace rv
