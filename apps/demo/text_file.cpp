#include "text_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace pit::demo {

namespace {

std::filesystem::path shipped_text() {
  const std::filesystem::path name = "apps/demo/text.txt";
  std::error_code error;
  if (std::filesystem::exists(name, error)) return name;
  std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", error);
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    if (std::filesystem::exists(folder / name, error)) return folder / name;
  }
  throw std::runtime_error("cannot find " + name.string() +
                           " from here; run this in the repository, or name a text with --text");
}

}  // namespace

std::string read_text(const std::string &path) {
  const std::filesystem::path file = path.empty() ? shipped_text() : std::filesystem::path(path);
  if (std::filesystem::is_directory(file)) throw std::runtime_error(file.string() + " is a folder");
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + file.string() + ": " + std::strerror(errno));
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw std::runtime_error("cannot read " + file.string());
  return text;
}

}  // namespace pit::demo
