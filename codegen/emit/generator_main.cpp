// The command line of programs of generators.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "dsl/error.h"
#include "dsl/generator.h"
#include "dsl/schedule.h"

namespace pit {

namespace {

constexpr const char *kUsage =
    R"(usage: %s -g NAME -o DIR [-f FUNCTION] [-e KIND,...] [target=TARGET,...] [PARAMETER=VALUE ...]
       %s --list
       %s --describe NAME

Compiles the operator of a generator to files in DIR, which is made if it is missing.

  -g NAME        the generator
  -o DIR         where the files go
  -f FUNCTION    the name of the function and of the files; default: the generator's
  -e KIND,...    what is written; default: static_library,c_header
                   static_library  FUNCTION.a          c_header     FUNCTION.h
                   object          FUNCTION.*.o        schedule     FUNCTION.schedule
                   ptx             FUNCTION.TARGET.ptx (CUDA targets)
                   cubin           FUNCTION.TARGET.cubin (where ptxas is installed)
                   llvm_ir         FUNCTION.TARGET.ll  tile_ir      FUNCTION.TARGET.pit
                   html            FUNCTION.html       explanation  FUNCTION.TARGET.txt
  target=...     targets, separated by commas; default: host. A call runs the best that fits:
                 x86-64-linux, x86-64-linux-avx2, x86-64-linux-avx512, x86-64-linux-cuda-sm_80,
                 x86-64-linux-cuda-sm_90a ...
  schedule=FILE  the schedule in FILE in place of the generator's
  PARAMETER=...  a parameter of the generator: see --describe
  --list         the generators of this program
  --describe     inputs, outputs and parameters of one
  -h, --help     this text

Prints the files that it wrote. Exit status: 0; 1 when the operator cannot be compiled or written;
2 for a wrong command line.
)";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

const std::vector<std::pair<std::string, Emit>> kKinds = {
    {"static_library", Emit::StaticLibrary},
    {"c_header", Emit::CHeader},
    {"object", Emit::Objects},
    {"ptx", Emit::Ptx},
    {"cubin", Emit::Cubin},
    {"llvm_ir", Emit::LlvmIr},
    {"tile_ir", Emit::TileIr},
    {"html", Emit::Html},
    {"schedule", Emit::Schedule},
    {"explanation", Emit::Explanation},
};

std::vector<std::string> words_of(const std::string &list) {
  std::vector<std::string> words;
  std::istringstream text(list);
  for (std::string word; std::getline(text, word, ',');) words.push_back(word);
  return words;
}

const RegisteredGenerator &find(const std::string &name) {
  std::string known;
  for (const RegisteredGenerator &generator : registered_generators()) {
    if (generator.name == name) return generator;
    known += (known.empty() ? "" : ", ") + generator.name;
  }
  throw UsageError("there is no generator '" + name + "'; this program has " +
                   (known.empty() ? "none: did its files use PIT_GENERATOR?" : known));
}

void describe(const RegisteredGenerator &generator) {
  std::printf("%s\n", generator.name.c_str());
  for (const GeneratorMember &m : generator.make()->members()) {
    using Kind = GeneratorMember::Kind;
    if (m.kind == Kind::Parameter) {
      std::printf("  parameter  %s = %s  %s%s%s\n", m.name.c_str(), m.value.c_str(),
                  m.legal.c_str(), m.help.empty() ? "" : ": ", m.help.c_str());
    } else if (m.kind == Kind::Scalar) {
      std::printf("  scalar     %s  %s\n", m.name.c_str(), to_string(m.type).c_str());
    } else {
      std::printf("  %s %s  %s of rank %d\n", m.kind == Kind::Input ? "input     " : "output    ",
                  m.name.c_str(), to_string(m.type).c_str(), m.rank);
    }
  }
}

struct Command {
  std::string generator, folder, function, schedule;
  std::set<Emit> files{Emit::StaticLibrary, Emit::CHeader};
  std::vector<Target> targets{Target()};
  std::vector<std::pair<std::string, std::string>> parameters;
};

Command read(const std::vector<std::string> &words) {
  Command command;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string &word = words[i];
    const auto value = [&]() -> const std::string & {
      if (i + 1 == words.size()) throw UsageError(word + " needs a value");
      return words[++i];
    };
    const std::size_t equals = word.find('=');
    if (word == "-g")
      command.generator = value();
    else if (word == "-o")
      command.folder = value();
    else if (word == "-f")
      command.function = value();
    else if (word == "-e") {
      command.files.clear();
      for (const std::string &name : words_of(value())) {
        const auto kind = std::ranges::find(kKinds, name, &decltype(kKinds)::value_type::first);
        if (kind == kKinds.end()) {
          std::string known;
          for (const auto &[each, unused] : kKinds) known += (known.empty() ? "" : ", ") + each;
          throw UsageError("-e knows no '" + name + "'; it knows " + known);
        }
        command.files.insert(kind->second);
      }
    } else if (word.starts_with("-") || equals == std::string::npos || equals == 0) {
      throw UsageError("'" + word + "' is no option and no PARAMETER=VALUE");
    } else if (word.starts_with("target=")) {
      command.targets.clear();
      for (const std::string &target : words_of(word.substr(equals + 1)))
        command.targets.emplace_back(target);
    } else if (word.starts_with("schedule=")) {
      command.schedule = word.substr(equals + 1);
    } else {
      command.parameters.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
  }
  if (command.generator.empty()) throw UsageError("-g names no generator");
  if (command.folder.empty()) throw UsageError("-o names no folder");
  if (command.function.empty()) command.function = command.generator;
  return command;
}

std::string text_of(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw UsageError("cannot read the schedule " + path);
  return text;
}

void compile(const Command &command) {
  const auto instance = find(command.generator).make();
  for (const auto &[parameter, value] : command.parameters) instance->set(parameter, value);
  Pipeline pipeline = instance->build(command.function);
  if (!command.schedule.empty())
    pipeline = pipeline.with(Schedule::parse(pipeline, text_of(command.schedule)));
  const std::string prefix = (std::filesystem::path(command.folder) / command.function).string();
  for (const std::string &file :
       pipeline.compile_to(command.files, prefix, instance->inputs(), command.targets))
    std::printf("%s\n", file.c_str());
}

int run(const std::vector<std::string> &words, const char *program) {
  if (words.empty()) throw UsageError("there is nothing to do");
  if (words.front() == "-h" || words.front() == "--help") {
    std::printf(kUsage, program, program, program);
  } else if (words.front() == "--list") {
    for (const RegisteredGenerator &generator : registered_generators())
      std::printf("%s\n", generator.name.c_str());
  } else if (words.front() == "--describe") {
    if (words.size() != 2) throw UsageError("--describe takes the name of a generator");
    describe(find(words[1]));
  } else {
    compile(read(words));
  }
  return 0;
}

}  // namespace

int generator_main(int count, char **arguments) {
  const std::string path = count > 0 ? arguments[0] : "generator";
  const std::string program = std::filesystem::path(path).filename().string();
  const auto fail = [&](const char *message, int status) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), message);
    return status;
  };
  try {
    return run(std::vector<std::string>(arguments + std::min(count, 1), arguments + count),
               program.c_str());
  } catch (const UsageError &error) {
    fail(error.what(), 2);
    std::fprintf(stderr, "%s --help says more\n", program.c_str());
    return 2;
  } catch (const std::exception &error) {
    return fail(error.what(), 1);
  }
}

}  // namespace pit
