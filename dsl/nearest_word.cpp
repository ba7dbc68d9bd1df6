#include "nearest_word.h"

#include <algorithm>

namespace pit {

namespace {

// The number of letters to insert, delete, replace or swap with their neighbour (optimal string
// alignment).
std::size_t edit_distance(const std::string &a, const std::string &b) {
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> table((a.size() + 1) * width);
  const auto at = [&](std::size_t i, std::size_t j) -> std::size_t & {
    return table[i * width + j];
  };
  for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1);
      at(i, j) = std::min({replaced, at(i - 1, j) + 1, at(i, j - 1) + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  }
  return at(a.size(), b.size());
}

}  // namespace

std::string nearest_word(const std::string &word, const std::vector<std::string> &known) {
  std::string nearest;
  std::size_t best = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string &candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string known_words(const std::string &word, const std::vector<std::string> &known) {
  std::string text;
  for (const std::string &candidate : known) text += (text.empty() ? "" : ", ") + candidate;
  const std::string nearest = nearest_word(word, known);
  return nearest.empty() ? text : text + " (did you mean " + nearest + "?)";
}

}  // namespace pit
