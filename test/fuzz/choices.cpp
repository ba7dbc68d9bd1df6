#include "choices.h"

#include <algorithm>
#include <numeric>

namespace pit::fuzz {

// SplitMix64 (Steele, Lea, Flood, 2014): the same numbers on every machine and standard library.
std::uint64_t Choices::next() {
  state_ += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

void Choices::record(std::uint32_t value) {
  if (record_->count == kMostChoices) throw TooManyChoices();
  record_->values[record_->count++] = value;
}

std::uint32_t Choices::below(std::uint32_t n) {
  if (n <= 1 || simplest_ > 0) return 0;
  std::uint32_t value = 0;
  if (!replay_) {
    value = static_cast<std::uint32_t>(next() % n);
  } else if (used_ < given_.size()) {
    value = given_[used_] == kSimplestPart ? 0 : std::min(given_[used_], n - 1);
    ++used_;
  }
  record(value);
  return value;
}

Choices::Part::Part(Choices *choices)
    : choices_(*choices), number_(choices->record_->part_count), simplest_(choices->simplest_ > 0) {
  ChoiceRecord &record = *choices_.record_;
  if (number_ < kMostChoices) record.parts[record.part_count++] = {record.count, 0};
  if (!simplest_ && choices_.used_ < choices_.given_.size() &&
      choices_.given_[choices_.used_] == kSimplestPart) {
    ++choices_.used_;
    choices_.record(kSimplestPart);
    simplest_ = true;
  }
  choices_.simplest_ += simplest_ ? 1 : 0;
}

Choices::Part::~Part() {
  choices_.simplest_ -= simplest_ ? 1 : 0;
  if (number_ < kMostChoices) choices_.record_->parts[number_].end = choices_.record_->count;
}

int Choices::weighted(std::initializer_list<int> weights) {
  auto left = static_cast<int>(
      below(static_cast<std::uint32_t>(std::accumulate(weights.begin(), weights.end(), 0))));
  int number = 0;
  for (const int weight : weights) {
    if (left < weight) return number;
    left -= weight;
    ++number;
  }
  throw std::logic_error("no weight is left");
}

}  // namespace pit::fuzz
