// Makes a failing case smaller: fewer decisions, and smaller ones.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <functional>
#include <set>

#include "case.h"

namespace pit::fuzz {

std::string signature(const CaseRecord &record) {
  std::string text = std::string(to_string(record.outcome)) + " in " + record.phase;
  if (record.outcome == Outcome::WrongResult || record.outcome == Outcome::RoundTrip) return text;
  if (record.outcome == Outcome::Crash || record.outcome == Outcome::Timeout)
    return text + ": " + record.message;
  // The words of the message that do not speak of the program.
  text += ": ";
  std::string word;
  int words = 0;
  for (const char *c = record.message; *c != 0 && words < 9; ++c) {
    if (std::islower(static_cast<unsigned char>(*c)) || *c == '_') {
      word += *c;
      continue;
    }
    if (*c == ' ' || *c == '.' || *c == ':' || *c == ',') {
      if (word.size() > 1) {
        text += word + " ";
        ++words;
      }
    } else if (*c != '/' && *c != '-') {
      while (c[1] != 0 && c[1] != ' ') ++c;  // a word with digits or capitals
    }
    word.clear();
  }
  return text;
}

namespace {

class Shrinker {
 public:
  Shrinker(Runner *runner, const CaseRecord &failed, double seconds,
           const std::function<void(std::size_t)> &progress)
      : runner_(*runner),
        wanted_(signature(failed)),
        progress_(progress),
        end_(std::chrono::steady_clock::now() +
             std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                 std::chrono::duration<double>(seconds))),
        record_(failed.choices),
        best_(failed.choices.values, failed.choices.values + failed.choices.count) {}

  std::vector<std::uint32_t> run() {
    for (bool smaller = true; smaller && !late();) {
      smaller = cut_end();
      smaller |= simplify_parts();
      if (smaller) continue;
      for (std::size_t n = std::max<std::size_t>(best_.size() / 4, 1);; n /= 2) {
        smaller |= delete_runs(n);
        smaller |= zero_runs(n);
        if (n <= 1) break;
      }
      smaller |= lower_values();
    }
    return best_;
  }

 private:
  bool late() const { return std::chrono::steady_clock::now() > end_; }

  // Trailing zeros are what a case draws anyway.
  static void trim(std::vector<std::uint32_t> *v) {
    while (!v->empty() && v->back() == 0) v->pop_back();
  }

  bool accept(std::vector<std::uint32_t> candidate) {
    trim(&candidate);
    if (late() || candidate == best_ || !tried_.insert(candidate).second) return false;
    const CaseRecord &record = runner_.run({0, true, candidate});
    if (signature(record) != wanted_) return false;
    std::vector<std::uint32_t> drawn(record.choices.values,
                                     record.choices.values + record.choices.count);
    trim(&drawn);
    if (drawn.size() > best_.size() || (drawn.size() == best_.size() && drawn >= best_))
      return false;
    // What the case really drew may differ from what was given: shorter, and in range.
    record_ = record.choices;
    best_ = std::move(drawn);
    progress_(best_.size());
    return true;
  }

  bool cut_end() {
    bool any = false;
    for (std::size_t keep = best_.size() / 2; keep < best_.size() && !late();) {
      if (accept({best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(keep)})) {
        any = true;
        keep = best_.size() / 2;
      } else {
        keep += std::max<std::size_t>((best_.size() - keep) / 2, 1);
      }
    }
    return any;
  }

  // Deletes parts and makes others the simplest: steps of the schedule and Funcs, then what they
  // are made of, the longest first.
  bool simplify_parts() {
    bool any = false;
    for (const bool outer : {true, false}) {
      for (std::size_t rank = 0; rank < record_.part_count && !late();) {
        if (simplify_part(outer ? outer_part(rank) : long_part(rank))) {
          any = true;  // other parts have this rank now
        } else {
          ++rank;
        }
      }
    }
    return any;
  }

  // The parts in no other part, the last first; none when there are fewer.
  const ChoiceRecord::Part *outer_part(std::size_t rank) const {
    std::vector<const ChoiceRecord::Part *> outer;
    for (std::uint32_t i = 0; i < record_.part_count; ++i) {
      const ChoiceRecord::Part &p = record_.parts[i];
      if (outer.empty() || p.begin >= outer.back()->end) outer.push_back(&p);
    }
    return rank < outer.size() ? outer[outer.size() - 1 - rank] : nullptr;
  }

  const ChoiceRecord::Part *long_part(std::size_t rank) const {
    std::vector<const ChoiceRecord::Part *> parts;
    for (std::uint32_t i = 0; i < record_.part_count; ++i) parts.push_back(&record_.parts[i]);
    std::ranges::stable_sort(parts, std::greater<>(),
                             [](const auto *p) { return std::int64_t{p->end} - p->begin; });
    return parts[rank];
  }

  bool simplify_part(const ChoiceRecord::Part *part) {
    if (!part || part->begin >= best_.size() || part->end <= part->begin) return false;
    const auto begin = best_.begin() + static_cast<std::ptrdiff_t>(part->begin);
    const auto end =
        best_.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(part->end, best_.size()));
    std::vector<std::uint32_t> without(best_.begin(), begin), simplest = without;
    without.insert(without.end(), end, best_.end());
    if (accept(without)) return true;
    simplest.push_back(kSimplestPart);
    simplest.insert(simplest.end(), end, best_.end());
    return accept(simplest);
  }

  bool delete_runs(std::size_t n) {
    bool any = false;
    for (std::size_t at = best_.size(); at-- > 0 && !late();) {
      if (at + n > best_.size()) continue;
      std::vector<std::uint32_t> candidate = best_;
      const auto from = candidate.begin() + static_cast<std::ptrdiff_t>(at);
      candidate.erase(from, from + static_cast<std::ptrdiff_t>(n));
      any |= accept(candidate);
      if (n > 1) at -= std::min(at, n / 2);
    }
    return any;
  }

  bool zero_runs(std::size_t n) {
    bool any = false;
    for (std::size_t at = 0; at + n <= best_.size() && !late();
         at += std::max<std::size_t>(n / 2, 1)) {
      std::vector<std::uint32_t> candidate = best_;
      const auto from = candidate.begin() + static_cast<std::ptrdiff_t>(at);
      std::fill(from, from + static_cast<std::ptrdiff_t>(n), 0);
      any |= accept(candidate);
    }
    return any;
  }

  bool lower_values() {
    bool any = false;
    for (std::size_t at = 0; at < best_.size() && !late(); ++at) {
      if (best_[at] == kSimplestPart) continue;
      for (std::uint32_t step = (best_[at] + 1) / 2; at < best_.size() && step > 0 && !late();) {
        std::vector<std::uint32_t> candidate = best_;
        candidate[at] -= std::min(step, candidate[at]);
        if (accept(candidate)) {
          any = true;
          if (at < best_.size()) step = (best_[at] + 1) / 2;
        } else {
          step /= 2;
        }
      }
    }
    return any;
  }

  Runner &runner_;
  std::string wanted_;
  std::set<std::vector<std::uint32_t>> tried_;
  const std::function<void(std::size_t)> &progress_;
  std::chrono::steady_clock::time_point end_;
  ChoiceRecord record_;  ///< of the run of best_
  std::vector<std::uint32_t> best_;
};

}  // namespace

CaseInput shrink(Runner *runner, const CaseRecord &failed, double seconds,
                 const std::function<void(std::size_t)> &progress) {
  return {0, true, Shrinker(runner, failed, seconds, progress).run()};
}

}  // namespace pit::fuzz
