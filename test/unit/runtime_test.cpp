// The runtime: results and workspaces of a call, sparse indices against simple code, the thread
// pool.

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/pit_call.h"

namespace {

constexpr std::int32_t kUntouched = -77;

struct Index {
  std::vector<std::int32_t> offsets, counts, coordinates, position;
  std::vector<std::uint8_t> full;
  std::int64_t entries = 0;
};

struct Marks {
  std::vector<std::uint8_t> marks;
  std::vector<std::int64_t> offsets;  // empty: uniform
  std::vector<std::int64_t> first;    // empty: 0
  std::int64_t groups = 0, length = 0, micro = 1, align = 1;

  std::int64_t start(std::int64_t g) const {
    return offsets.empty() ? g * length : offsets[static_cast<std::size_t>(g)];
  }
};

// What IndexPlace means, candidate by candidate.
Index expected_place(const Marks &m) {
  Index index;
  index.position.assign(m.marks.size(), kUntouched);
  for (std::int64_t g = 0; g < m.groups; ++g) {
    index.offsets.push_back(static_cast<std::int32_t>(index.coordinates.size()));
    std::int32_t count = 0;
    for (std::int64_t c = m.start(g); c < m.start(g + 1); ++c) {
      auto i = static_cast<std::size_t>(c);
      index.position[i] = -1;
      if ((m.marks[i] & 1) == 0) continue;
      index.position[i] = static_cast<std::int32_t>(index.coordinates.size());
      std::int64_t first = m.first.empty() ? 0 : m.first[static_cast<std::size_t>(g)];
      index.coordinates.push_back(static_cast<std::int32_t>(first + (c - m.start(g)) * m.micro));
      index.full.push_back((m.marks[i] & 2) == 0);
      ++count;
    }
    index.counts.push_back(count);
    while (index.coordinates.size() % static_cast<std::size_t>(m.align) != 0) {
      index.coordinates.push_back(-1);
      index.full.push_back(0);
    }
  }
  index.offsets.push_back(static_cast<std::int32_t>(index.coordinates.size()));
  index.entries = static_cast<std::int64_t>(index.coordinates.size());
  return index;
}

// `wanted`: bit 0 coordinates, 1 full, 2 position, 3 offsets, 4 counts. The arrays have exactly the
// room they need.
Index actual_place(const Marks &m, const Index &expected, unsigned wanted = 31) {
  Index index;
  index.coordinates.assign(expected.coordinates.size(), kUntouched);
  index.full.assign(expected.full.size(), 99);
  index.position.assign(m.marks.size(), kUntouched);
  index.offsets.assign(static_cast<std::size_t>(m.groups) + 1, kUntouched);
  index.counts.assign(static_cast<std::size_t>(m.groups), kUntouched);
  pit_call call;
  pit_call_initialise(&call);
  index.entries = pit_index_place(
      &call, "live", m.marks.data(), m.offsets.empty() ? nullptr : m.offsets.data(),
      m.first.empty() ? nullptr : m.first.data(), m.groups, m.length, m.micro, m.align,
      static_cast<std::int64_t>(expected.coordinates.size()),
      (wanted & 8) ? index.offsets.data() : nullptr, (wanted & 16) ? index.counts.data() : nullptr,
      (wanted & 1) ? index.coordinates.data() : nullptr,
      (wanted & 4) ? index.position.data() : nullptr, (wanted & 2) ? index.full.data() : nullptr);
  CHECK(call.status == PIT_OK);
  CHECK(call.workspace_bytes == 0);
  return index;
}

std::vector<std::uint8_t> random_marks(std::mt19937 &random, std::size_t n, double density) {
  std::bernoulli_distribution keep(density), partial(0.5);
  std::vector<std::uint8_t> marks(n);
  for (auto &mark : marks) {
    mark = static_cast<std::uint8_t>((keep(random) ? 1 : 0) | (partial(random) ? 2 : 0));
  }
  return marks;
}

void check_place(const Marks &m, unsigned wanted = 31) {
  Index expected = expected_place(m), actual = actual_place(m, expected, wanted);
  CHECK(actual.entries == expected.entries);
  if (wanted & 1) CHECK((actual.coordinates == expected.coordinates));
  if (wanted & 2) CHECK((actual.full == expected.full));
  if (wanted & 4) CHECK((actual.position == expected.position));
  if (wanted & 8) CHECK((actual.offsets == expected.offsets));
  if (wanted & 16) CHECK((actual.counts == expected.counts));
}

struct Threads {
  explicit Threads(int n) { pit_set_threads(n); }
  ~Threads() { pit_set_threads(0); }
};

// A C callback of a C++ function object.
template <class F>
void parallel_for(pit_call *call, std::int64_t n, F body) {
  pit_parallel_for(
      call, n, [](void *closure, std::int64_t i) { (*static_cast<F *>(closure))(i); }, &body);
}

}  // namespace

TEST_CASE("marks of few long and many short groups become the lists that simple code gives") {
  Threads threads(4);
  std::mt19937 random(1);
  struct Shape {
    std::int64_t groups, length;
  };
  for (Shape shape :
       {Shape{1, 300000}, Shape{3, 100001}, Shape{7, 13}, Shape{5000, 40}, Shape{100000, 2},
        Shape{4, 65536}, Shape{2, 131072}, Shape{0, 5}, Shape{5, 0}, Shape{1, 1}}) {
    for (double density : {0.0, 0.002, 0.1, 0.7, 1.0}) {
      for (std::int64_t align : {1, 4, 128}) {
        CAPTURE(shape.groups);
        CAPTURE(shape.length);
        CAPTURE(density);
        CAPTURE(align);
        Marks m;
        m.groups = shape.groups;
        m.length = shape.length;
        m.micro = 8;
        m.align = align;
        m.marks = random_marks(random, static_cast<std::size_t>(m.groups * m.length), density);
        check_place(m);
      }
    }
  }
}

TEST_CASE("groups of different lengths, empty ones too, keep their first coordinates") {
  Threads threads(4);
  std::mt19937 random(2);
  for (int round = 0; round < 60; ++round) {
    Marks m;
    m.groups = std::uniform_int_distribution<std::int64_t>(1, 300)(random);
    m.micro = 1 + round % 3;
    m.align = 1 + round % 5;
    // Some groups are longer than a strip of the implementation, many are empty.
    m.offsets = {round % 2 ? 0 : 11};
    for (std::int64_t g = 0; g < m.groups; ++g) {
      int kind = std::uniform_int_distribution<int>(0, 9)(random);
      std::int64_t longest = kind < 4   ? 0
                             : kind < 9 ? 900
                                        : 200000 / m.groups + 70000 * (g % 40 == 0);
      m.offsets.push_back(m.offsets.back() +
                          std::uniform_int_distribution<std::int64_t>(0, longest)(random));
      m.first.push_back(std::uniform_int_distribution<std::int64_t>(0, 1000000)(random));
    }
    m.marks = random_marks(random, static_cast<std::size_t>(m.offsets.back()), 0.05 * (round % 20));
    CAPTURE(round);
    check_place(m);
  }
}

TEST_CASE("groups that begin exactly where the implementation cuts its strips") {
  Threads threads(4);
  std::mt19937 random(3);
  Marks m;
  m.offsets = {0, 65536, 65536, 131072, 131072, 131073, 200000, 262144, 262144, 262144};
  m.groups = static_cast<std::int64_t>(m.offsets.size()) - 1;
  for (std::int64_t align : {1, 7}) {
    m.align = align;
    for (double density : {0.0, 0.01, 1.0}) {
      m.marks = random_marks(random, 262144, density);
      check_place(m);
    }
  }
}

TEST_CASE("results of an index that nobody wants are left out") {
  Threads threads(3);
  std::mt19937 random(4);
  Marks m;
  m.groups = 5;
  m.length = 40000;
  m.align = 16;
  m.marks = random_marks(random, 200000, 0.05);
  for (unsigned wanted = 0; wanted < 32; ++wanted) check_place(m, wanted);
}

TEST_CASE("an index that does not fit reports what it needs and what there is") {
  std::vector<std::uint8_t> marks(1000, 1);
  std::vector<std::int32_t> coordinates(999, kUntouched), offsets(2, kUntouched);
  pit_call call;
  pit_call_initialise(&call);
  CHECK(pit_index_place(&call, "live", marks.data(), nullptr, nullptr, 1, 1000, 1, 1, 999,
                        offsets.data(), nullptr, coordinates.data(), nullptr, nullptr) == -1);
  CHECK(call.status == PIT_ERROR_CAPACITY);
  CHECK(call.check == -1);
  CHECK(call.values[0] == 1000);
  CHECK(call.values[1] == 999);
  CHECK(std::string(call.index_name) == "live");
  CHECK((coordinates == std::vector<std::int32_t>(999, kUntouched)));
  CHECK(call.workspace_bytes == 0);

  SUBCASE("padding counts") {
    pit_call_initialise(&call);
    std::vector<std::int32_t> room(1023);
    CHECK(pit_index_place(&call, "live", marks.data(), nullptr, nullptr, 2, 500, 1, 512, 1023,
                          nullptr, nullptr, room.data(), nullptr, nullptr) == -1);
    CHECK(call.values[0] == 1024);
  }
  SUBCASE("more entries than int32 counts, by padding") {
    pit_call_initialise(&call);
    CHECK(pit_index_place(&call, "live", marks.data(), nullptr, nullptr, 1000, 1, 1,
                          std::int64_t{1} << 24, std::numeric_limits<std::int64_t>::max(),
                          offsets.data(), nullptr, nullptr, nullptr, nullptr) == -1);
    CHECK(call.status == PIT_ERROR_CAPACITY);
    CHECK(call.values[0] == std::int64_t{1000} << 24);
    CHECK(call.values[1] == std::numeric_limits<std::int32_t>::max());
  }
  SUBCASE("coordinates beyond int32") {
    pit_call_initialise(&call);
    std::vector<std::int32_t> room(1000);
    CHECK(pit_index_place(&call, "live", marks.data(), nullptr, nullptr, 1, 1000,
                          std::int64_t{1} << 22, 1, 1000, nullptr, nullptr, room.data(), nullptr,
                          nullptr) == -1);
    CHECK(call.status == PIT_ERROR_CAPACITY);
    CHECK(call.values[0] == std::int64_t{999} << 22);
  }
  SUBCASE("keys") {
    pit_call_initialise(&call);
    std::vector<std::int64_t> keys(1000, 3);
    CHECK(pit_index_sort(&call, "by_expert", keys.data(), 1000, 8, 1, 999, nullptr, nullptr,
                         coordinates.data(), nullptr) == -1);
    CHECK(call.status == PIT_ERROR_CAPACITY);
    CHECK(call.values[0] == 1000);
    CHECK(call.values[1] == 999);
    CHECK(std::string(call.index_name) == "by_expert");
    CHECK((coordinates == std::vector<std::int32_t>(999, kUntouched)));
  }
}

TEST_CASE("keys are sorted stably into their groups, dropped ones left out") {
  Threads threads(4);
  std::mt19937 random(5);
  for (std::int64_t groups : {1, 3, 64, 1000, 40000}) {
    for (std::int64_t length : {0, 1, 1000, 16384, 100000}) {
      for (std::int64_t align : {1, 128}) {
        CAPTURE(groups);
        CAPTURE(length);
        CAPTURE(align);
        std::vector<std::int64_t> keys(static_cast<std::size_t>(length));
        for (auto &key : keys)
          key = std::uniform_int_distribution<std::int64_t>(-1, groups - 1)(random);
        std::vector<std::vector<std::int32_t>> lists(static_cast<std::size_t>(groups));
        for (std::size_t p = 0; p < keys.size(); ++p) {
          if (keys[p] >= 0)
            lists[static_cast<std::size_t>(keys[p])].push_back(static_cast<std::int32_t>(p));
        }
        Index expected;
        expected.position.assign(keys.size(), -1);
        for (const auto &list : lists) {
          expected.offsets.push_back(static_cast<std::int32_t>(expected.coordinates.size()));
          expected.counts.push_back(static_cast<std::int32_t>(list.size()));
          for (std::int32_t p : list) {
            expected.position[static_cast<std::size_t>(p)] =
                static_cast<std::int32_t>(expected.coordinates.size());
            expected.coordinates.push_back(p);
          }
          while (expected.coordinates.size() % static_cast<std::size_t>(align))
            expected.coordinates.push_back(-1);
        }
        expected.offsets.push_back(static_cast<std::int32_t>(expected.coordinates.size()));

        Index actual;
        actual.offsets.assign(lists.size() + 1, kUntouched);
        actual.counts.assign(lists.size(), kUntouched);
        actual.coordinates.assign(expected.coordinates.size(), kUntouched);
        actual.position.assign(keys.size(), kUntouched);
        pit_call call;
        pit_call_initialise(&call);
        auto capacity = static_cast<std::int64_t>(actual.coordinates.size());
        CHECK(pit_index_sort(&call, "by_expert", keys.data(), length, groups, align, capacity,
                             actual.offsets.data(), actual.counts.data(), actual.coordinates.data(),
                             actual.position.data()) == capacity);
        CHECK((actual.offsets == expected.offsets));
        CHECK((actual.counts == expected.counts));
        CHECK((actual.coordinates == expected.coordinates));
        CHECK((actual.position == expected.position));
        CHECK(pit_index_sort(&call, "by_expert", keys.data(), length, groups, align, 0, nullptr,
                             nullptr, nullptr, nullptr) == capacity);
        CHECK(call.status == PIT_OK);
        CHECK(call.workspace_bytes == 0);
      }
    }
  }
}

TEST_CASE(
    "the first key out of range is reported with its value, position and the number of groups") {
  Threads threads(4);
  struct Case {
    std::int64_t key;
  };
  for (Case c : {Case{64}, Case{-2}, Case{std::numeric_limits<std::int64_t>::max()},
                 Case{std::numeric_limits<std::int64_t>::min()}}) {
    std::vector<std::int64_t> keys(100000, 5);
    keys[70001] = 1000;
    keys[50003] = c.key;
    keys[50004] = 999;
    std::vector<std::int32_t> coordinates(keys.size(), kUntouched);
    pit_call call;
    pit_call_initialise(&call);
    CHECK(pit_index_sort(&call, "by_expert", keys.data(), 100000, 64, 1, 100000, nullptr, nullptr,
                         coordinates.data(), nullptr) == -1);
    CHECK(call.status == PIT_ERROR_DATA);
    CHECK(call.check == -1);
    CHECK(call.values[0] == c.key);
    CHECK(call.values[1] == 50003);
    CHECK(call.values[2] == 64);
    CHECK(std::string(call.index_name) == "by_expert");
    CHECK((coordinates == std::vector<std::int32_t>(keys.size(), kUntouched)));
    CHECK(call.workspace_bytes == 0);
  }
  // With no group at all, every key that is not dropped is out of range.
  std::int64_t keys[] = {-1, 0};
  pit_call call;
  pit_call_initialise(&call);
  CHECK(pit_index_sort(&call, "none", keys, 1, 0, 1, 0, nullptr, nullptr, nullptr, nullptr) == 0);
  CHECK(pit_index_sort(&call, "none", keys, 2, 0, 1, 0, nullptr, nullptr, nullptr, nullptr) == -1);
  CHECK(call.values[1] == 1);
}

TEST_CASE("a prefix counts negative lengths as empty") {
  std::int64_t source[] = {3, -4, 0, 5}, destination[5] = {};
  pit_prefix(destination, source, 4);
  CHECK(destination[0] == 0);
  CHECK(destination[1] == 3);
  CHECK(destination[2] == 3);
  CHECK(destination[3] == 3);
  CHECK(destination[4] == 8);
}

TEST_CASE("the first report stays, whoever else reports") {
  Threads threads(4);
  pit_call call;
  pit_call_initialise(&call);
  CHECK(call.status == PIT_OK);
  parallel_for(&call, 1000, [&](std::int64_t i) {
    std::int64_t values[2] = {i, -i};
    pit_report(&call, PIT_ERROR_DATA, static_cast<std::int32_t>(i), values, 2);
  });
  CHECK(call.status == PIT_ERROR_DATA);
  CHECK(call.values[0] == call.check);
  CHECK(call.values[1] == -call.check);
  std::int64_t many[PIT_MAX_VALUES + 1] = {};
  pit_report(&call, PIT_ERROR_MEMORY, 1, many, PIT_MAX_VALUES + 1);
  CHECK(call.status == PIT_ERROR_DATA);
  pit_call_initialise(&call);
  pit_report(&call, PIT_ERROR_MEMORY, 1, many, PIT_MAX_VALUES + 1);
  CHECK(call.status == PIT_ERROR_MEMORY);
}

TEST_CASE("workspaces are aligned, counted and given back") {
  pit_call call;
  pit_call_initialise(&call);
  void *empty = pit_workspace(&call, 0);
  CHECK(empty != nullptr);
  auto *small = static_cast<char *>(pit_workspace(&call, 100));
  auto *large = static_cast<char *>(pit_workspace(&call, 3 << 20));
  for (char *memory : {small, large}) CHECK(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0);
  std::memset(small, 1, 100);
  std::memset(large, 2, 3 << 20);
  CHECK(call.workspace_bytes == (3 << 20) + 100);
  pit_workspace_release(&call, large);
  CHECK(call.workspace_bytes == 100);
  pit_workspace_release(&call, small);
  pit_workspace_release(&call, empty);
  pit_workspace_release(&call, nullptr);
  CHECK(call.workspace_bytes == 0);
  CHECK(call.peak_workspace_bytes == (3 << 20) + 100);

  SUBCASE("a block that was released serves again, with any size up to its own") {
    for (std::int64_t bytes : {3 << 20, (3 << 20) - 4096, 2 << 20, 4 << 20, 70000}) {
      void *again = pit_workspace(&call, bytes);
      std::memset(again, 3, static_cast<std::size_t>(bytes));
      pit_workspace_release(&call, again);
    }
    pit_trim();
    CHECK(call.workspace_bytes == 0);
  }
  SUBCASE("many threads at once") {
    Threads threads(4);
    parallel_for(&call, 400, [&](std::int64_t i) {
      std::int64_t bytes = 1000 * (i % 300);
      void *memory = pit_workspace(&call, bytes);
      std::memset(memory, 5, static_cast<std::size_t>(bytes));
      pit_workspace_release(&call, memory);
    });
    CHECK(call.workspace_bytes == 0);
    pit_trim();
  }
  SUBCASE("what cannot be had is reported") {
    call.allocate = [](void *, std::size_t) -> void * { return nullptr; };
    CHECK(pit_workspace(&call, 1 << 20) == nullptr);
    CHECK(call.status == PIT_ERROR_MEMORY);
    CHECK(call.values[0] == 1 << 20);
    std::uint8_t mark = 1;
    CHECK(pit_index_place(&call, "live", &mark, nullptr, nullptr, 1, 1, 1, 1, 1, nullptr, nullptr,
                          nullptr, nullptr, nullptr) == -1);
    CHECK(pit_index_sort(&call, "live", nullptr, 0, 1, 1, 1, nullptr, nullptr, nullptr, nullptr) ==
          -1);
  }
  SUBCASE("sizes that overflowed on the way are refused") {
    CHECK(pit_workspace(&call, -1) == nullptr);
    CHECK(pit_workspace(&call, std::numeric_limits<std::int64_t>::max()) == nullptr);
    CHECK(call.status == PIT_ERROR_MEMORY);
  }
}

TEST_CASE("a loop runs every iteration once, whatever the number of threads") {
  pit_call call;
  pit_call_initialise(&call);
  for (int n : {1, 2, 3, 16}) {
    Threads threads(n);
    CHECK(pit_threads() == n);
    for (std::int64_t iterations : {0, 1, 2, 5, 100, 10000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(iterations));
      parallel_for(&call, iterations, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
      for (const auto &run : runs) REQUIRE(run == 1);
    }
  }
  CHECK(pit_threads() >= 1);
}

TEST_CASE("what iterations wrote is there when the loop returns") {
  Threads threads(4);
  pit_call call;
  pit_call_initialise(&call);
  std::vector<std::int64_t> values(1000);
  for (int round = 0; round < 200; ++round) {
    parallel_for(&call, 1000, [&](std::int64_t i) { values[static_cast<std::size_t>(i)] += i; });
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    REQUIRE(values[i] == static_cast<std::int64_t>(200 * i));
}

TEST_CASE("loops inside loops end") {
  Threads threads(4);
  pit_call call;
  pit_call_initialise(&call);
  std::atomic<std::int64_t> sum{0};
  parallel_for(&call, 20, [&](std::int64_t i) {
    parallel_for(&call, 20, [&](std::int64_t j) {
      parallel_for(&call, 5, [&](std::int64_t k) { sum += i * 100 + j * 5 + k; });
    });
  });
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < 20; ++i) {
    for (std::int64_t rest = 0; rest < 100; ++rest) expected += i * 100 + rest;
  }
  CHECK(sum == expected);
}

TEST_CASE("several callers share the workers") {
  Threads threads(3);
  std::vector<std::int64_t> sums(4);
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < sums.size(); ++c) {
    callers.emplace_back([&, c] {
      pit_call call;
      pit_call_initialise(&call);
      for (int round = 0; round < 100; ++round) {
        std::atomic<std::int64_t> sum{0};
        parallel_for(&call, 50, [&](std::int64_t i) { sum += i; });
        sums[c] += sum;
      }
    });
  }
  for (std::thread &caller : callers) caller.join();
  for (std::int64_t sum : sums) CHECK(sum == 100 * 49 * 25);
}

TEST_CASE("the number of threads may change while loops run") {
  pit_call call;
  pit_call_initialise(&call);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int n = 0; !stop; ++n) pit_set_threads(1 + n % 5);
  });
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> runs{0};
    parallel_for(&call, 30, [&](std::int64_t) { ++runs; });
    REQUIRE(runs == 30);
  }
  stop = true;
  changer.join();
  pit_set_threads(0);
}

TEST_CASE("a caller's own loop replaces the thread pool, and one iteration needs neither") {
  pit_call call;
  pit_call_initialise(&call);
  int loops = 0;
  call.parallel_user = &loops;
  call.parallel = [](void *user, std::int64_t n, pit_loop_body body, void *closure) {
    ++*static_cast<int *>(user);
    for (std::int64_t i = n; i-- > 0;) body(closure, i);
  };
  std::int64_t sum = 0;
  parallel_for(&call, 1, [&](std::int64_t) { ++sum; });
  CHECK(loops == 0);
  parallel_for(&call, 10, [&](std::int64_t i) { sum += i; });
  CHECK(loops == 1);
  CHECK(sum == 46);
}

#ifndef __SANITIZE_THREAD__  // which refuses threads in the child of a process that has some
TEST_CASE("a forked child has loops of its own") {
  Threads threads(4);
  pit_call call;
  pit_call_initialise(&call);
  parallel_for(&call, 100, [](std::int64_t) {});
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);  // a child that hangs fails
    std::atomic<int> runs{0};
    for (int round = 0; round < 10; ++round) {
      parallel_for(&call, 100, [&](std::int64_t) { ++runs; });
    }
    _exit(runs == 1000 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
#endif

TEST_CASE("the clock goes forward") {
  std::int64_t before = pit_nanoseconds();
  CHECK(pit_nanoseconds() >= before);
}
