// Pipeline::compile_to: operators as files.
#include <llvm/Object/ArchiveWriter.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>

#include "codegen/ir/text.h"
#include "description.h"
#include "dsl/error.h"
#include "dsl/pipeline.h"
#include "metadata.h"
#include "object_cache.h"
#include "signature.h"

#include <unistd.h>

namespace pit {

namespace {

using emit::Object;
using emit::TargetCode;

bool is_identifier(const std::string &name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto letter_or_digit = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && letter(name.front()) && std::ranges::all_of(name, letter_or_digit);
}

/// Targets that run on fewer machines come first, so that the first that fits is the best.
int specialty(const Target &target) {
  int features = 0;
  for (const char *feature : {"avx2", "avx512", "avx512_bf16", "avx512_vnni", "sm_80"})
    features += target.has(feature) ? 1 : 0;
  return features + (target.has("sm_90a") ? 2 : 0);
}

std::string escaped(const std::string &text) {
  std::string html;
  for (const char c : text)
    html += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return html;
}

class Library {
 public:
  Library(const Pipeline &pipeline, const std::filesystem::path &prefix,
          const std::vector<std::string> &inputs, std::vector<Target> targets,
          std::source_location where)
      : pipeline_(pipeline),
        prefix_(prefix),
        name_(prefix.filename().string()),
        targets_(std::move(targets)),
        where_(where),
        signature_(emit::signature_with(pipeline, inputs, "compile_to", where)),
        elementwise_(emit::is_elementwise(pipeline)),
        description_({name_, signature_, elementwise_, false}) {
    if (!is_identifier(name_)) {
      refuse("'" + name_ +
             "' is no identifier of C, which names the function; choose another last " +
             "part of the path '" + prefix_.string() + "'");
    }
    if (targets_.empty()) refuse("there is no target; name at least one");
    std::ranges::stable_sort(targets_, std::greater<>(), specialty);
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (std::count(targets_.begin(), targets_.end(), targets_[i]) > 1)
        refuse("target " + targets_[i].to_string() + " is named twice");
    }
    compile();
  }

  std::vector<std::string> write(const std::set<Emit> &files) {
    for (const Emit file : files) write(file);
    return std::move(written_);
  }

 private:
  const Pipeline &pipeline_;
  std::filesystem::path prefix_;
  std::string name_;
  std::vector<Target> targets_;
  std::source_location where_;
  std::vector<Argument> signature_;
  bool elementwise_;
  emit::Description description_;
  std::vector<ir::Module> modules_;
  std::vector<TargetCode> codes_;
  std::vector<std::string> written_;

  [[noreturn]] void refuse(const std::string &problem) const {
    throw CompileError("pipeline " + pipeline_.name() + ": compile_to: " + problem, where_);
  }

  void compile() {
    for (const Target &target : targets_) {
      modules_.push_back(emit::lower_with(pipeline_, signature_, target));
      modules_.back().name = name_;
    }
    // Each has an LLVM of its own, and takes a second where there are kernels.
    std::vector<std::future<TargetCode>> codes;
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      codes.push_back(std::async(std::launch::async, [this, i] {
        return emit::cached_objects(modules_[i], targets_[i], elementwise_);
      }));
    }
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      codes_.push_back(codes[i].get());
      description_.add(targets_[i], modules_[i], codes_[i].entry);
    }
  }

  std::vector<Object> objects() const {
    std::vector<Object> list{emit::metadata_object(description_.op(), codes_)};
    for (const TargetCode &code : codes_)
      list.insert(list.end(), code.objects.begin(), code.objects.end());
    return list;
  }

  void write(Emit file) {
    switch (file) {
      case Emit::StaticLibrary:
        return write(".a", archive());
      case Emit::CHeader:
        return write(".h", emit::c_header(description_.op()));
      case Emit::Objects:
        for (const Object &object : objects())
          write(object.name.substr(name_.size()), object.bytes);
        return;
      case Emit::Html:
        return write(".html", html());
      case Emit::Schedule:
        return write(".schedule", pipeline_.schedule().to_string());
      default:
        for (std::size_t i = 0; i < targets_.size(); ++i) write_for(i, file);
    }
  }

  void write_for(std::size_t i, Emit file) {
    const std::string part = "." + emit::short_name(targets_[i]);
    const TargetCode &code = codes_[i];
    if (file == Emit::LlvmIr) write(part + ".ll", code.llvm);
    if (file == Emit::TileIr) write(part + ".pit", ir::print(modules_[i]));
    if (file == Emit::Explanation) write(part + ".txt", pipeline_.explain(targets_[i]));
    if (file == Emit::Ptx && !code.ptx.empty()) write(part + ".ptx", code.ptx);
    if (file == Emit::Cubin && !code.cubin.empty()) write(part + ".cubin", code.cubin);
  }

  std::string html() const {
    std::string text =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + name_ +
        "</title>\n<style>body{font-family:sans-serif;margin:2em}"
        "pre{background:#f6f8fa;padding:1em;overflow-x:auto}"
        "summary{cursor:pointer;font-weight:bold;margin:.5em 0}</style></head><body>\n<h1>" +
        name_ + "</h1>\n";
    const auto part = [&](const std::string &title, const std::string &body, bool open) {
      text += std::string("<details") + (open ? " open" : "") + "><summary>" + escaped(title) +
              "</summary><pre>" + escaped(body) + "</pre></details>\n";
    };
    part("C header", emit::c_header(description_.op()), false);
    part("Schedule", pipeline_.schedule().to_string(), true);
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      text += "<h2>" + targets_[i].to_string() + "</h2>\n";
      part("What was decided", pipeline_.explain(targets_[i]), true);
      part("Tile IR", ir::print(modules_[i]), false);
      part("LLVM IR", codes_[i].llvm, false);
      if (!codes_[i].ptx.empty()) part("PTX", codes_[i].ptx, false);
    }
    return text + "</body></html>\n";
  }

  std::string archive() const {
    const std::vector<Object> list = objects();
    std::vector<llvm::NewArchiveMember> members;
    for (const Object &object : list)
      members.emplace_back(llvm::MemoryBufferRef(object.bytes, object.name));
    auto buffer = llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NormalSymtab,
                                             llvm::object::Archive::K_GNU, true, false);
    if (!buffer) throw InternalError("LLVM: " + llvm::toString(buffer.takeError()));
    return (*buffer)->getBuffer().str();
  }

  // Beside its place first: nobody sees half a file.
  void write(const std::string &suffix, const std::string &bytes) {
    const std::filesystem::path path = prefix_.string() + suffix,
                                temporary = path.string() + "." + std::to_string(::getpid());
    std::error_code error;
    if (prefix_.has_parent_path())
      std::filesystem::create_directories(prefix_.parent_path(), error);
    {
      std::ofstream to(temporary, std::ios::binary);
      to.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      to.close();
      if (!to) error = std::make_error_code(std::errc::io_error);
    }
    if (!error) std::filesystem::rename(temporary, path, error);
    if (error) {
      std::error_code ignored;
      std::filesystem::remove(temporary, ignored);
      refuse("cannot write " + path.string() + ": " + error.message());
    }
    written_.push_back(path.string());
  }
};

}  // namespace

std::vector<std::string> Pipeline::compile_to(const std::set<Emit> &files,
                                              const std::string &prefix,
                                              const std::vector<std::string> &inputs,
                                              const std::vector<Target> &targets,
                                              std::source_location where) const {
  return Library(*this, prefix, inputs, targets, where).write(files);
}

void Pipeline::compile_to_static_library(const std::string &prefix,
                                         const std::vector<std::string> &inputs,
                                         const std::vector<Target> &targets,
                                         std::source_location where) const {
  compile_to({Emit::StaticLibrary, Emit::CHeader}, prefix, inputs, targets, where);
}

}  // namespace pit
