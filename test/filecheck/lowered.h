// Lowered pipelines as text, whole or a stage of them.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "test/filecheck.h"
#include "test/programs.h"

namespace pit::test {

inline std::string lowered(const Pipeline &pipeline) {
  return ir::print(lower::lower(pipeline, Target()));
}

/// The stages called `name` ("compute H", "index live"), one after the other. Fails when there is
/// none.
inline std::string stages(const std::string &module, const std::string &name) {
  std::string found;
  const std::string header = "\n  stage " + name + " {\n", footer = "\n  }";
  for (std::size_t at = module.find(header); at != std::string::npos;) {
    const std::size_t end = module.find(footer, at);
    REQUIRE(end != std::string::npos);
    found += module.substr(at + 1, end + footer.size() - at);
    at = module.find(header, end);
  }
  REQUIRE_MESSAGE(!found.empty(), "no stage '" << name << "' in\n" << module);
  return found;
}

}  // namespace pit::test
