// Cases in processes of their own.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>
#include <system_error>

#include "case.h"

namespace pit::fuzz {

Runner::Runner(int jobs, unsigned seconds_a_case)
    : places_(static_cast<std::size_t>(jobs)), seconds_(seconds_a_case) {
  for (Place &p : places_) {
    void *memory = mmap(nullptr, sizeof(CaseRecord), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    p.record = new (memory) CaseRecord;
  }
}

Runner::~Runner() {
  for (Place &p : places_) {
    if (p.process != 0) {
      kill(p.process, SIGKILL);
      waitpid(p.process, nullptr, 0);
    }
    munmap(p.record, sizeof(CaseRecord));
  }
}

void Runner::start(const CaseInput &input,
                   const std::function<void(const CaseInput &, const CaseRecord &)> &finished) {
  const auto free = std::ranges::find(places_, 0, &Place::process);
  Place *place = free != places_.end() ? &*free : wait_for_one(finished);
  new (place->record) CaseRecord;
  place->input = input;
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child != 0) {
    place->process = child;
    return;
  }
  // This process has never compiled anything before: there are no threads that a fork would lose.
  alarm(seconds_);
  if (quiet) {
    const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing >= 0) dup2(nothing, STDERR_FILENO);
  }
  Choices choices = input.given ? Choices(input.choices, &place->record->choices)
                                : Choices(input.seed, &place->record->choices);
  run_case(&choices, place->record);
  _exit(0);
}

Runner::Place *Runner::wait_for_one(
    const std::function<void(const CaseInput &, const CaseRecord &)> &finished) {
  for (;;) {
    int status = 0;
    const pid_t child = waitpid(-1, &status, 0);
    if (child < 0) throw std::system_error(errno, std::generic_category(), "waitpid");
    const auto place = std::ranges::find(places_, child, &Place::process);
    if (place == places_.end()) continue;
    place->process = 0;
    CaseRecord &record = *place->record;
    if (WIFSIGNALED(status)) {
      record.signal = WTERMSIG(status);
      record.outcome = record.signal == SIGALRM ? Outcome::Timeout : Outcome::Crash;
      std::strcpy(record.message,
                  record.signal == SIGALRM ? "it took too long" : sigdescr_np(record.signal));
    } else if (WEXITSTATUS(status) != 0) {  // a sanitizer
      record.outcome = Outcome::Crash;
      std::strcpy(record.message, "the process ended with a status that is not 0");
    }
    finished(place->input, record);
    return &*place;
  }
}

void Runner::finish(const std::function<void(const CaseInput &, const CaseRecord &)> &finished) {
  while (std::ranges::any_of(places_, [](const Place &p) { return p.process != 0; }))
    wait_for_one(finished);
}

const CaseRecord &Runner::run(const CaseInput &input) {
  const CaseRecord *result = nullptr;
  const auto keep = [&](const CaseInput &, const CaseRecord &record) { result = &record; };
  start(input, keep);
  finish(keep);
  return *result;
}

}  // namespace pit::fuzz
