// Runs a test in a process of its own: the runtime opens the driver once in a process, and each
// test wants it opened in another way.
#pragma once

#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "test/command.h"
#include "test/driver/fake_cuda.h"

namespace pit_test {

// The file of the stand-in for the driver, which lies beside this program.
const std::string &stand_in();
// The stand-in that the runtime of this process opens, or has opened.
fake_cuda &fake();
int count(const char *entry_point);
void reset_device(int device);
void *allocate(std::size_t bytes, fake_memory kind, int device);
// As the user of a device does: its primary context becomes current; and which one is.
CUcontext push_context_of(int device);
CUcontext current_context();

// What EXPECT found in this process.
std::string &failures();

// Runs body in a child with these variables of the environment beside those that make the runtime
// open the stand-in, without nvJitLink and without a cache. Returns the failures, "" if there are
// none.
using pit::test::Folder;
using Environment = std::vector<std::pair<std::string, std::string>>;
std::string in_child(const std::function<void()> &body, const Environment &environment = {});

void expect(bool holds, const char *text, const char *file, int line, const std::string &detail);
void expect_part(const char *text, const std::string &part, const char *file, int line);

}  // namespace pit_test

#define EXPECT(...) \
  pit_test::expect(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__, "")
// The text has the part.
#define EXPECT_PART(text, part) pit_test::expect_part(text, part, __FILE__, __LINE__)
