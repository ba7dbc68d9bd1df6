// The text whose sentences the feed-forward cases compute.
#pragma once

#include <string>

namespace pit::demo {

/// Contents of the file `path`, or, if it is empty, of the text that is shipped:
/// apps/demo/text.txt, looked for below the current folder, the program's folder and the folders
/// above that. std::runtime_error when there is no such file or it cannot be read.
std::string read_text(const std::string &path);

}  // namespace pit::demo
