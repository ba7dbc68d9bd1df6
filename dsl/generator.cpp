#include "generator.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "nearest_word.h"

namespace pit {

namespace {

std::vector<RegisteredGenerator> &generators_so_far() {
  static std::vector<RegisteredGenerator> list;
  return list;
}

}  // namespace

const std::vector<RegisteredGenerator> &registered_generators() { return generators_so_far(); }

GeneratorRegistration::GeneratorRegistration(RegisteredGenerator generator) {
  std::vector<RegisteredGenerator> &list = generators_so_far();
  const auto place = std::ranges::lower_bound(list, generator.name, {}, &RegisteredGenerator::name);
  if (place != list.end() && place->name == generator.name) {
    std::fprintf(stderr, "two generators are called '%s': %s:%u and %s:%u\n",
                 generator.name.c_str(), place->where.file_name(), place->where.line(),
                 generator.where.file_name(), generator.where.line());
    std::exit(2);  // before main, where nobody could catch an exception
  }
  list.insert(place, std::move(generator));
}

std::vector<std::string> GeneratorInstance::inputs() const {
  std::vector<std::string> names;
  for (const GeneratorMember &member : members()) {
    using Kind = GeneratorMember::Kind;
    if (member.kind == Kind::Input || member.kind == Kind::Scalar) names.push_back(member.name);
  }
  return names;
}

namespace generators {

void check_output(const std::string &generator, const Func &output, Type type, int rank) {
  const FuncNode &f = *output.func();
  const std::string about = "generator " + generator + ": output '" + output.name() + "' ";
  if (!output.defined())
    throw CompileError(about + "is not defined; generate() must define it", f.where);
  if (f.types.size() != 1 || f.types.front() != type ||
      f.args.size() != static_cast<std::size_t>(rank)) {
    std::string types;
    for (const Type &t : f.types) types += (types.empty() ? "" : ", ") + to_string(t);
    throw CompileError(about + "is declared as " + to_string(type) + " of rank " +
                           std::to_string(rank) + " and defined as " + types + " of rank " +
                           std::to_string(f.args.size()) + "; make them agree",
                       f.where);
  }
}

void refuse_parameter(const std::string &generator, const std::string &parameter,
                      const std::string &problem, const std::vector<GeneratorMember> &members) {
  std::vector<std::string> names;
  std::string legal;
  for (const GeneratorMember &member : members) {
    if (member.kind != GeneratorMember::Kind::Parameter) continue;
    names.push_back(member.name);
    if (member.name == parameter) legal = member.legal;
  }
  if (!problem.empty()) {
    throw CompileError("generator " + generator + ": parameter " + parameter + ": " + problem +
                           "; expected " + legal,
                       {});
  }
  throw CompileError(
      "generator " + generator + ": there is no parameter '" + parameter + "'; " +
          (names.empty() ? "it has none" : "its parameters are " + known_words(parameter, names)),
      {});
}

Pipeline make_pipeline(const std::string &name, const std::vector<Func> &outputs) {
  return Pipeline(outputs, {}, name);
}

}  // namespace generators
}  // namespace pit
