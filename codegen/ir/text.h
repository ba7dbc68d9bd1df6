// IR as text: printing and reading back.
#pragma once

#include <string>

#include "staged.h"

namespace pit::ir {

/// The whole module. Names are made unique by a suffix (".1"), so that `parse` reads the same
/// module back.
std::string print(const Module &module);
/// One statement, for messages and debugging.
std::string print(const Stmt &stmt);

/// Reads what `print` wrote. InternalError names line, column and what was expected.
Module parse(const std::string &text);

// Words of the staged level, for printer, parser and messages.
const char *layout_name(Layout::Kind kind);
const char *arrivals_name(Arrivals each);
const char *engine_name(CopyEngine engine);
const char *engine_name(Engine engine);

}  // namespace pit::ir
