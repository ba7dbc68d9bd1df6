// One case: drawn from decisions, run on every engine, compared with the reference.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "choices.h"
#include "schedule.h"

namespace pit::fuzz {

enum class Outcome : std::uint8_t {
  Passed,
  Refused,      ///< the algorithm is not accepted, with no schedule at all
  Invalid,      ///< the reference finds the data invalid: a mistake of the fuzzer
  WrongResult,  ///< another result than the reference
  RoundTrip,    ///< a schedule or a module is another after it was printed and read back
  LateRefusal,  ///< a CompileError after lowering had accepted the schedule
  DataError,    ///< a RuntimeError on valid data
  Internal,     ///< an InternalError or an exception that is none of the library's
  Crash,        ///< a signal
  Timeout,
};
const char *to_string(Outcome outcome);
inline bool is_failure(Outcome o) { return o > Outcome::Invalid; }

/// What a case tells, as plain memory: it is written by a process that may crash at any time.
struct CaseRecord {
  ChoiceRecord choices;
  Outcome outcome = Outcome::Crash;
  int signal = 0;
  bool exact = true;
  int directives = 0;  ///< of the schedule that ran
  ScheduleCounts steps{};
  char phase[48] = {};
  char message[3000] = {};
  char program[40000] = {};
  char refusals[4000] = {};  ///< of the schedule's steps, a line each
};

/// Draws and runs a case in this process. Everything but `outcome` is filled in on the way.
void run_case(Choices *choices, CaseRecord *record);

/// The decisions of a case: from a seed, or given.
struct CaseInput {
  std::uint64_t seed = 0;
  bool given = false;
  std::vector<std::uint32_t> choices{};
};

/// Runs cases in processes of their own, so that a crash is an outcome like others.
class Runner {
 public:
  /// `jobs` processes at a time, each for `seconds_a_case` at most.
  Runner(int jobs, unsigned seconds_a_case);
  ~Runner();
  Runner(const Runner &) = delete;
  Runner &operator=(const Runner &) = delete;

  /// Starts a case; waits for a free place first if there is none. `finished` is called for every
  /// case that ends meanwhile.
  void start(const CaseInput &input,
             const std::function<void(const CaseInput &, const CaseRecord &)> &finished);
  /// Waits for all cases.
  void finish(const std::function<void(const CaseInput &, const CaseRecord &)> &finished);
  /// Runs one case alone and gives its record, valid until the next call.
  const CaseRecord &run(const CaseInput &input);
  bool quiet = false;  ///< what cases print is thrown away

 private:
  struct Place {
    int process = 0;  ///< 0: free
    CaseInput input;
    CaseRecord *record = nullptr;  ///< in shared memory
  };
  Place *wait_for_one(const std::function<void(const CaseInput &, const CaseRecord &)> &finished);

  std::vector<Place> places_;
  unsigned seconds_;
};

/// What makes two failures the same bug, probably.
std::string signature(const CaseRecord &record);

/// The smallest case found, in about `seconds`, that fails in the same way. `progress` is told of
/// the number of decisions left.
CaseInput shrink(Runner *runner, const CaseRecord &failed, double seconds,
                 const std::function<void(std::size_t)> &progress);

}  // namespace pit::fuzz
