// SPDX-License-Identifier: Apache-2.0
#include "core/cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/units.h"

namespace rv {

MatrixUnits matrix_units;

#define RV_DECLARE(isa)     \
  namespace isa {           \
  extern const Table table; \
  }
#ifdef RV_HAVE_base
RV_DECLARE(base)
#endif
#ifdef RV_HAVE_v2
RV_DECLARE(v2)
#endif
#ifdef RV_HAVE_v3
RV_DECLARE(v3)
#endif
#ifdef RV_HAVE_v4
RV_DECLARE(v4)
#endif

namespace {

#if defined(__x86_64__)
bool has(unsigned reg, std::initializer_list<int> bits) {
  return std::all_of(bits.begin(), bits.end(), [&](int b) { return reg >> b & 1; });
}

// The x86-64 level (1 to 4) of the psABI that CPU and operating system support.
int x86_level() {
  unsigned a, b, c1, d, b7 = 0, c = 0, ce = 0;
  if (!__get_cpuid(1, &a, &b, &c1, &d)) return 1;
  __get_cpuid_count(7, 0, &a, &b7, &c, &d);
  __get_cpuid(0x80000001, &a, &b, &ce, &d);
  unsigned xcr0 = 0;
  if (has(c1, {27})) asm("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
  if (!has(c1, {0, 9, 13, 19, 20, 23}) || !has(ce, {0})) return 1;  // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT LAHF
  if (!has(c1, {12, 22, 28, 29}) || !has(b7, {3, 5, 8}) || !has(ce, {5}))
    return 2;                                                             // FMA MOVBE AVX F16C BMI AVX2 BMI2 LZCNT
  if ((xcr0 & 0x6) != 0x6) return 2;                                      // the system saves ymm registers
  if (!has(b7, {16, 17, 28, 30, 31}) || (xcr0 & 0xe6) != 0xe6) return 3;  // AVX512F DQ CD BW VL, zmm and mask registers
  return 4;
}

bool has_bf16_dot() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && has(a, {5});
}
// vdpbf16ps runs as often a cycle as an FMA on AMD's Zen 4 and Zen 5 (measured); on others it may not.
bool has_fast_bf16_dot() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid(0, &a, &b, &c, &d);
  const bool amd = b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
  __get_cpuid(1, &a, &b, &c, &d);
  const unsigned family = (a >> 8 & 15) + (a >> 20 & 255);
  return amd && family >= 0x19 && has_bf16_dot();
}
bool has_int8_dot(int level) {
  unsigned a, b, c, d;
  if (level == 4) return __get_cpuid_count(7, 0, &a, &b, &c, &d) && has(c, {11});  // AVX512_VNNI
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && has(a, {4});                   // AVX_VNNI
}
bool has_amx() {
  unsigned a, b, c, d, xcr0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(d, {22, 24})) return false;  // AMX-BF16, AMX-TILE
  asm("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
  return has(xcr0, {17, 18});  // the system saves tiles
}
// Tiles are large: a process has to ask for them, and may be refused.
bool ask_for_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}
#else
int x86_level() { return 0; }
bool has_fast_bf16_dot() { return false; }
bool has_int8_dot(int) { return false; }
bool has_amx() { return false; }
bool ask_for_tiles() { return false; }
#endif

#if defined(RV_HAVE_AMX)
constexpr bool kBuiltForAmx = true;
#else
constexpr bool kBuiltForAmx = false;
#endif

// Nothing caps the instruction set, or RANVIER_ISA=`cap` does.
void choose_units(const std::string& cap) {
  MatrixUnits& units = matrix_units;
  if (cap == "amx-emulated") {
    units.tiles = Tiles::emulated, units.amx = "emulated";
    return;
  }
  const bool capped = !cap.empty() && cap != "amx";
  units.bf16_dot = !capped && has_fast_bf16_dot();
  if (!has_amx()) return;
  if (capped) units.amx = "present, not used (RANVIER_ISA)";
  else if (!kBuiltForAmx) units.amx = "present, not used (not built for it)";
  else if (!ask_for_tiles()) units.amx = "present, not used (the system refuses it)";
  else units.tiles = Tiles::amx, units.amx = "used";
}

struct Candidate {
  int level;
  const Table* table;
};
// Best first.
constexpr Candidate kCandidates[] = {
#ifdef RV_HAVE_v4
    {4, &v4::table},
#endif
#ifdef RV_HAVE_v3
    {3, &v3::table},
#endif
#ifdef RV_HAVE_v2
    {2, &v2::table},
#endif
#ifdef RV_HAVE_base
    {0, &base::table},
#endif
};

const Table* chosen = nullptr;

}  // namespace

const Table& table() { return *chosen; }

void choose_table(std::string& warning) {
  int level = x86_level(), cap = 4;
  const char* wish = std::getenv("RANVIER_ISA");
  std::string name = wish ? wish : "";
  if (!name.empty()) {
    const bool amx = name == "amx" && has_amx(), tiles = amx || name == "amx-emulated";
    if (name == "v2" || name == "v3" || name == "v4") cap = name[1] - '0';
    else if (!tiles && (name != "base" || level > 0))
      warning = "RANVIER_ISA=" + name + " is ignored: it must be v2, v3, v4, or amx on a CPU that has it";
    if (warning.empty() && level > 0 && cap > level)
      warning = "RANVIER_ISA=" + name + " is ignored: this CPU supports up to v" + std::to_string(level);
    if (!warning.empty()) name.clear();
  }
  const int limit = std::min(level, cap);
  matrix_units.int8_dot = name.empty() && limit >= 3 && has_int8_dot(limit);
  if (limit == 4) choose_units(name);
  for (const Candidate& c : kCandidates)
    if (c.level <= limit) {
      chosen = c.table;
      return;
    }
  std::string built;
  for (const Candidate& c : kCandidates) built += std::string(built.empty() ? "" : ", ") + c.table->isa;
  throw std::runtime_error("the native kernels need one of the instruction sets " + built +
                           ", but this CPU (or RANVIER_ISA) allows x86-64-v" + std::to_string(limit) + " only");
}

namespace {

int affinity_count() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

// CPUs that a cgroup's quota allows; 0: no limit. A container sees its own group at the root of the hierarchy;
// a process in a nested group finds its path in /proc/self/cgroup, and every ancestor's limit counts.
double read_quota_v2(const std::string& dir) {
  std::ifstream f(dir + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(f >> quota >> period) || quota == "max" || period <= 0) return 0;
  return std::atof(quota.c_str()) / period;
}
double read_quota_v1(const std::string& dir) {
  double quota = 0, period = 0;
  std::ifstream q(dir + "/cpu.cfs_quota_us"), p(dir + "/cpu.cfs_period_us");
  if (!(q >> quota) || !(p >> period) || quota <= 0 || period <= 0) return 0;
  return quota / period;
}
double cgroup_quota() {
  double best = 0;
  auto take = [&](double q) {
    if (q > 0 && (best == 0 || q < best)) best = q;
  };
  auto walk = [&](const std::string& root, std::string path, double (*read)(const std::string&)) {
    for (;;) {
      take(read(root + path));
      const size_t cut = path.find_last_of('/');
      if (path.empty() || cut == std::string::npos) break;
      path.resize(cut);
    }
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1)
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (a == std::string::npos || b == std::string::npos) continue;
    const std::string controllers = "," + line.substr(a + 1, b - a - 1) + ",", path = line.substr(b + 1);
    if (controllers == ",,") walk("/sys/fs/cgroup", path, read_quota_v2);
    else if (controllers.find(",cpu,") != std::string::npos)
      for (const char* root : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) walk(root, path, read_quota_v1);
  }
  take(read_quota_v2("/sys/fs/cgroup"));
  return best;
}

int env_count(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::max(0, std::atoi(text)) : 0;  // "4,2" (nested levels) reads as 4
}

}  // namespace

ThreadCount default_threads() {
  ThreadCount best{affinity_count(), "CPU affinity"};
  auto cap = [&](int n, const char* reason) {
    if (n > 0 && n < best.n) best = {n, reason};
  };
  if (const double quota = cgroup_quota(); quota > 0) cap(static_cast<int>(std::ceil(quota)), "cgroup CPU quota");
  cap(env_count("OMP_NUM_THREADS"), "OMP_NUM_THREADS");
  cap(env_count("OMP_THREAD_LIMIT"), "OMP_THREAD_LIMIT");
  return best;
}

}  // namespace rv
