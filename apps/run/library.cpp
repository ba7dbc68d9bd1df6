#include "library.h"

#include <dlfcn.h>
#include <elf.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

extern char **environ;

namespace pit::run {

namespace {

[[noreturn]] void fail(const std::string &path, const std::string &problem) {
  throw std::runtime_error(path + ": " + problem);
}

/// The bytes of a file and, if it is ELF, the structures in it.
class File {
 public:
  explicit File(std::string path) : path_(std::move(path)) {
    std::ifstream file(path_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    if (!file.is_open() || file.bad()) fail(path_, "it cannot be read");
  }
  bool is_archive() const { return bytes_.starts_with("!<arch>\n"); }
  /// ET_REL, ET_DYN, ...; ET_NONE: not ELF of this machine.
  int elf_type() const {
    if (bytes_.size() < sizeof(Elf64_Ehdr) || !bytes_.starts_with(ELFMAG) ||
        bytes_[EI_CLASS] != ELFCLASS64) {
      return ET_NONE;
    }
    return at<Elf64_Ehdr>(0).e_type;
  }
  template <class T>
  T at(std::size_t offset) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) fail(path_, "it is cut off");
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  std::string text(std::size_t offset) const {
    const std::size_t end = bytes_.find('\0', offset);
    if (end == std::string::npos) fail(path_, "it is cut off");
    return bytes_.substr(offset, end - offset);
  }

 private:
  std::string path_, bytes_;
};

/// A folder that goes with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "pit-run-XXXXXX").string();
    // NOLINTNEXTLINE(concurrency-mt-unsafe): of glibc, where each thread has its own text
    if (::mkdtemp(path.data()) == nullptr) fail(path, std::strerror(errno));
    path_ = path;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;
  std::string operator/(const char *name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Runs a program and waits for it.
void run(std::vector<std::string> words) {
  std::vector<char *> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string &word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = 0;
  const int error =
      ::posix_spawnp(&process, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (error != 0) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): of glibc, where each thread has its own text
    fail(words[0], std::string(std::strerror(error)) +
                       "; a C compiler makes a shared object of an archive: name one by CC, or "
                       "give a shared object");
  }
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    fail(words[0], "it could not make a shared object of " + words.back());
}

/// A shared object of all that is in an archive or an object. What it needs of the runtime is this
/// program's.
void link(const std::string &path, const std::string &shared) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  const char *compiler = std::getenv("CC");
  run({compiler != nullptr && *compiler != 0 ? compiler : "cc", "-shared", "-o", shared,
       "-Wl,--whole-archive", path, "-Wl,--no-whole-archive", "-lm"});
}

}  // namespace

std::vector<std::string> exported_data(const std::string &path, const std::string &prefix) {
  const File file(path);
  const auto header = file.at<Elf64_Ehdr>(0);
  std::vector<std::string> names;
  const auto section = [&](std::size_t number) {
    return file.at<Elf64_Shdr>(header.e_shoff + number * sizeof(Elf64_Shdr));
  };
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr table = section(i);
    if (table.sh_type != SHT_DYNSYM) continue;
    const Elf64_Shdr texts = section(table.sh_link);
    for (std::size_t s = 0; s < table.sh_size / sizeof(Elf64_Sym); ++s) {
      const auto symbol = file.at<Elf64_Sym>(table.sh_offset + s * sizeof(Elf64_Sym));
      if (ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT || symbol.st_shndx == SHN_UNDEF) continue;
      std::string name = file.text(texts.sh_offset + symbol.st_name);
      if (name.starts_with(prefix)) names.push_back(std::move(name));
    }
  }
  std::ranges::sort(names);
  return names;
}

Library::Library(const std::vector<std::string> &paths) {
  for (const std::string &path : paths) {
    const File file(path);
    if (file.elf_type() == ET_DYN) {
      load(path, path);
    } else if (file.is_archive() || file.elf_type() == ET_REL) {
      const TemporaryFolder folder;
      const std::string shared = folder / "operators.so";
      link(path, shared);
      load(shared, path);
    } else {
      fail(path, "it is no archive, object or shared object of this kind of machine");
    }
  }
}

void Library::load(const std::string &path, const std::string &shown) {
  // Without a slash the system would look for it in its own folders.
  const std::string absolute = std::filesystem::absolute(path).string();
  void *loaded = ::dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): of glibc, where each thread has its own text
  if (loaded == nullptr) fail(shown, ::dlerror());
  const std::vector<std::string> names = exported_data(absolute, "pit_operator_");
  if (names.empty()) fail(shown, "there is no operator of pit in it");
  for (const std::string &name : names) {
    const auto *op = static_cast<const pit_operator *>(::dlsym(loaded, name.c_str()));
    // NOLINTNEXTLINE(concurrency-mt-unsafe): of glibc, where each thread has its own text
    if (op == nullptr) fail(shown, ::dlerror());
    if (op->abi_version != PIT_ABI_VERSION) {
      fail(shown, "its operators are of version " + std::to_string(op->abi_version) +
                      " of pit's binary interface, and this program is of version " +
                      std::to_string(PIT_ABI_VERSION) + "; use the pit-run of that release");
    }
    operators_.push_back(op);
  }
}

const pit_operator &Library::find(const std::string &name) const {
  std::string known;
  for (const pit_operator *op : operators_) {
    if (name == op->name) return *op;
    known += (known.empty() ? "" : ", ") + std::string(op->name);
  }
  if (name.empty() && operators_.size() == 1) return *operators_.front();
  throw std::runtime_error(name.empty()
                               ? "there are several operators; choose one by --operator: " + known
                               : "there is no operator " + name + "; there are " + known);
}

}  // namespace pit::run
