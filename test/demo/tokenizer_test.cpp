#include <doctest/doctest.h>

// A program's parts are in no library.
#include "apps/demo/tokenizer.cpp"  // NOLINT(bugprone-suspicious-include)

using pit::demo::tokenize;

namespace {

/// Words separated by spaces, sentences by bars.
std::string shown(std::string_view text, std::size_t longest = 100) {
  const pit::demo::Tokens tokens = tokenize(text, longest);
  std::string result;
  for (const auto &sentence : tokens.sentences) {
    CHECK(!sentence.empty());
    if (!result.empty()) result += '|';
    for (std::size_t i = 0; i < sentence.size(); ++i) {
      result += (i == 0 ? "" : " ") + tokens.vocabulary.at(static_cast<std::size_t>(sentence[i]));
    }
  }
  return result;
}

}  // namespace

TEST_CASE("words are lower case, other characters stand alone") {
  CHECK(shown("The cat's hat, (size 12)") == "the cat's hat , ( size 12 )");
  CHECK(shown("na\xc3\xafve") == "na\xc3\xafve");
  CHECK(shown("") == "");
  CHECK(shown(" \n\t\r\n ") == "");
}

TEST_CASE("a sentence ends after its mark, what closes it, and a space") {
  CHECK(shown("One. Two! Three? Four") == "one .|two !|three ?|four");
  CHECK(shown("\"Go.\" He went.") == "\" go . \"|he went .");
  CHECK(shown("Wait... what?! (Yes.) No") == "wait . . .|what ? !|( yes . )|no");
  CHECK(shown("3.14 is pi") == "3 . 14 is pi");
  CHECK(shown("one\ntwo\n\nthree") == "one two|three");
}

TEST_CASE("sentences longer than the context are cut") {
  CHECK(shown("a b c d e", 2) == "a b|c d|e");
  CHECK(shown("a b.", 2) == "a b|.");
}

TEST_CASE("equal words have one number") {
  const pit::demo::Tokens tokens = tokenize("Go, go, GO", 100);
  CHECK(tokens.vocabulary == std::vector<std::string>{"go", ","});
  CHECK(tokens.sentences == std::vector<std::vector<std::int32_t>>{{0, 1, 0, 1, 0}});
}
