#include "nearest_word.h"

#include <algorithm>
#include <numeric>

namespace pit {

namespace {

// Levenshtein distance, one row at a time.
std::size_t edit_distance(const std::string &a, const std::string &b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
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
