#include "object_cache.h"

#include <dlfcn.h>
#include <link.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/Support/SHA256.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "codegen/cuda/toolkit.h"
#include "codegen/ir/text.h"
#include "runtime/pit_cuda.h"

namespace pit::emit {

namespace {

std::string hash(const std::string &bytes) {
  llvm::SHA256 sha;
  sha.update(bytes);
  return llvm::toHex(sha.final(), true);
}

// --- what code is made of ---

/// The file that holds this function, by its size and its time: another compiler makes other code.
std::string this_compiler() {
  static const std::string compiler = [] {
    Dl_info info{};
    struct ::link_map *object = nullptr;
    static const char here = 0;                         // in the file that this code is in
    void **place = reinterpret_cast<void **>(&object);  // NOLINT: what it asks for
    if (::dladdr1(&here, &info, place, RTLD_DL_LINKMAP) == 0) return std::string();
    // The program itself has no name there.
    const char *path = *object->l_name != 0 ? object->l_name : "/proc/self/exe";
    struct ::stat file{};
    if (::stat(path, &file) != 0) return std::string();
    return std::to_string(file.st_size) + "." + std::to_string(file.st_mtim.tv_sec) + "." +
           std::to_string(file.st_mtim.tv_nsec) + " " LLVM_VERSION_STRING;
  }();
  return compiler;
}

/// All that compile_objects depends on; "": not all is known.
std::string made_of(const ir::Module &module, const Target &target, bool elementwise) {
  if (this_compiler().empty()) return "";
  std::string text = this_compiler() + "\n" + target.to_string() + "\n" +
                     (target.is_cuda() ? cuda::assembler_version() : "") + "\n" +
                     std::to_string(PIT_ABI_VERSION) + (elementwise ? " elementwise\n" : "\n");
  // What the text of a module does not say of its tensors.
  for (const auto *tensors : {&module.inputs, &module.outputs}) {
    for (const StoragePtr &s : *tensors) {
      text += std::to_string(s->alignment);
      for (const auto *declared : {&s->declared_strides, &s->declared_extents}) {
        for (const std::int64_t number : *declared) text += "," + std::to_string(number);
      }
      text += "\n";
    }
  }
  return text + ir::print(module);
}

// --- as bytes ---

class Writer {
 public:
  void number(std::size_t n) {
    const std::uint64_t word = n;
    bytes_.append(reinterpret_cast<const char *>(&word), sizeof word);  // NOLINT: bytes
  }
  void text(const std::string &s) {
    number(s.size());
    bytes_ += s;
  }
  std::string bytes() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Nothing that it reads is more than it has; `good` tells whether all was there.
class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}
  std::size_t number() {
    std::uint64_t word = 0;
    good_ = good_ && bytes_.size() - at_ >= sizeof word;
    if (!good_) return 0;
    std::memcpy(&word, bytes_.data() + at_, sizeof word);
    at_ += sizeof word;
    return word;
  }
  /// Of things that each have at least a number.
  std::size_t count() {
    const std::size_t n = number();
    good_ = good_ && n <= (bytes_.size() - at_) / sizeof(std::uint64_t);
    return good_ ? n : 0;
  }
  std::string text() {
    const std::size_t size = number();
    good_ = good_ && size <= bytes_.size() - at_;
    if (!good_) return "";
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  bool good() const { return good_ && at_ == bytes_.size(); }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

std::string to_bytes(const TargetCode &code) {
  Writer w;
  w.number(code.objects.size());
  for (const Object &object : code.objects) {
    w.text(object.name);
    w.text(object.bytes);
  }
  w.text(code.row_major);
  w.text(code.any);
  w.text(code.entry.symbol);
  w.number(code.entry.messages.size());
  for (const std::string &message : code.entry.messages) w.text(message);
  w.number(code.entry.stages.size());
  for (const auto &[name, kind] : code.entry.stages) {
    w.text(name);
    w.number(static_cast<std::size_t>(kind));
  }
  w.text(code.ptx);
  w.text(code.cubin);
  w.text(code.llvm);
  return std::move(w).bytes();
}

std::optional<TargetCode> from_bytes(std::string bytes) {
  Reader r(std::move(bytes));
  TargetCode code;
  for (std::size_t i = r.count(); i > 0; --i) {
    Object &object = code.objects.emplace_back();
    object.name = r.text();
    object.bytes = r.text();
  }
  code.row_major = r.text();
  code.any = r.text();
  code.entry.symbol = r.text();
  for (std::size_t i = r.count(); i > 0; --i) code.entry.messages.push_back(r.text());
  for (std::size_t i = r.count(); i > 0; --i) {
    std::string name = r.text();
    code.entry.stages.emplace_back(std::move(name), static_cast<ir::StageKind>(r.number()));
  }
  code.ptx = r.text();
  code.cubin = r.text();
  code.llvm = r.text();
  if (!r.good()) return {};
  return code;
}

// --- files ---

constexpr std::size_t kHashLength = 64;

/// What the file holds behind the hash that it begins with; none where it is not whole, or where
/// someone else could have put it there.
std::optional<std::string> read(const std::filesystem::path &path) {
  struct ::stat status{};
  if (::stat(path.c_str(), &status) != 0 || status.st_uid != ::geteuid()) return {};
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < kHashLength) return {};
  const std::string begin = bytes.substr(0, kHashLength);
  bytes.erase(0, kHashLength);
  if (hash(bytes) != begin) return {};
  return bytes;
}

/// Beside its place first: nobody sees half a file. A file that cannot be written is none.
void write(const std::filesystem::path &path, const std::string &bytes) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const std::filesystem::path temporary = path.string() + "." + std::to_string(::getpid());
  std::ofstream file(temporary, std::ios::binary);
  file << hash(bytes) << bytes;
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(temporary, path, error);
  if (!file || error) std::filesystem::remove(temporary, ignored);
}

}  // namespace

TargetCode cached_objects(const ir::Module &module, const Target &target, bool elementwise) {
  char folder[PATH_MAX];
  const std::string parts = made_of(module, target, elementwise);
  if (parts.empty() || pit_cache_folder(folder, sizeof folder) == 0)
    return compile_objects(module, target, elementwise);
  const std::filesystem::path path = std::filesystem::path(folder) / (hash(parts) + ".objects");
  if (std::optional<std::string> bytes = read(path)) {
    if (std::optional<TargetCode> code = from_bytes(std::move(*bytes))) return std::move(*code);
  }
  TargetCode code = compile_objects(module, target, elementwise);
  write(path, to_bytes(code));
  return code;
}

}  // namespace pit::emit
