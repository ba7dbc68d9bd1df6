#include "metadata.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>

#include "codegen/host/machine.h"
#include "constants.h"
#include "dsl/buffer.h"
#include "optimise.h"

namespace pit::emit {

namespace {

bool is_scalar(const pit_argument &a) { return a.kind == PIT_SCALAR; }

Type type_of(const pit_argument &a) {
  Type type;
  from_dlpack(a.type, &type);
  return type;
}

class Metadata {
 public:
  Metadata(const pit_operator &op, const std::vector<TargetCode> &codes)
      : op_(op), codes_(codes), module_(op.name, context_), c_(module_) {}

  Object emit() {
    const host::Machine machine = host::portable_machine_of(Target("x86-64-linux"));
    module_.setTargetTriple(llvm::Triple(machine.triple));
    llvm::GlobalVariable *op = define_operator();
    define_call(op, op_.name, "pit_operator_call", 0);
    define_call(op, std::string(op_.name) + "_workspace_size", "pit_operator_workspace_size", 1);
    optimise(module_, machine);
    return {std::string(op_.name) + ".o", object_of(module_, machine)->getBuffer().str()};
  }

 private:
  const pit_operator &op_;
  const std::vector<TargetCode> &codes_;
  llvm::LLVMContext context_;
  llvm::Module module_;
  Constants c_;

  // Structures in the order of the members in pit_runtime.h.

  llvm::Constant *argument(const pit_argument &a) {
    std::vector<llvm::Constant *> strides, extents;
    for (std::int32_t d = 0; a.strides && d < a.rank; ++d) strides.push_back(c_.i64(a.strides[d]));
    for (std::int32_t d = 0; a.extents && d < a.rank; ++d) extents.push_back(c_.i64(a.extents[d]));
    llvm::Constant *type =
        c_.structure({c_.i8(a.type.code), c_.i8(a.type.bits), c_.i16(a.type.lanes)});
    return c_.structure({c_.text(a.name), c_.i32(a.kind), c_.i32(a.rank), type, c_.i32(a.alignment),
                         c_.list(strides), c_.list(extents)});
  }

  llvm::Constant *function(const std::string &symbol) {
    auto *type = llvm::FunctionType::get(
        llvm::Type::getInt32Ty(context_),
        std::vector<llvm::Type *>(3, llvm::PointerType::get(context_, 0)), false);
    auto *declared =
        llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, symbol, module_);
    declared->setVisibility(llvm::GlobalValue::HiddenVisibility);
    declared->setDSOLocal(true);
    return declared;
  }

  llvm::Constant *code(const pit_code &code, const TargetCode &compiled) {
    std::vector<llvm::Constant *> messages, stages, statistics, notes;
    for (std::int32_t i = 0; i < code.message_count; ++i)
      messages.push_back(c_.text(code.messages[i]));
    for (std::int32_t i = 0; i < code.stage_count; ++i)
      stages.push_back(c_.structure({c_.text(code.stages[i].name), c_.i32(code.stages[i].kind)}));
    for (std::int32_t i = 0; i < code.statistic_count; ++i)
      statistics.push_back(c_.text(code.statistics[i]));
    for (std::int32_t i = 0; i < code.note_count; ++i)
      notes.push_back(c_.structure({c_.text(code.notes[i].about), c_.text(code.notes[i].text)}));
    return c_.structure(
        {c_.text(code.target), c_.text(code.cpu_features), c_.i32(code.architecture),
         c_.i32(code.architecture_specific), function(compiled.row_major), function(compiled.any),
         c_.list(messages), c_.list(stages), c_.list(statistics), c_.list(notes),
         c_.text(code.memory_note), c_.i32(code.message_count), c_.i32(code.stage_count),
         c_.i32(code.statistic_count), c_.i32(code.note_count)});
  }

  llvm::GlobalVariable *define_operator() {
    std::vector<llvm::Constant *> arguments, codes;
    for (std::int32_t i = 0; i < op_.argument_count; ++i)
      arguments.push_back(argument(op_.arguments[i]));
    for (std::int32_t i = 0; i < op_.code_count; ++i)
      codes.push_back(code(op_.codes[i], codes_[static_cast<std::size_t>(i)]));
    llvm::Constant *value = c_.structure({c_.i32(op_.abi_version), c_.i32(op_.flags),
                                          c_.text(op_.name), c_.list(arguments), c_.list(codes),
                                          c_.i32(op_.argument_count), c_.i32(op_.code_count)});
    return new llvm::GlobalVariable(module_, value->getType(), true,
                                    llvm::GlobalValue::ExternalLinkage, value,
                                    std::string("pit_operator_") + op_.name);
  }

  llvm::Type *scalar_type(Type type) {
    if (type == float32) return llvm::Type::getFloatTy(context_);
    if (type == float64) return llvm::Type::getDoubleTy(context_);
    return llvm::IntegerType::get(context_, static_cast<unsigned>(type.bytes()) * 8);
  }

  // A function of the operator's arguments, of options and of `more` pointers, which passes all on.
  void define_call(llvm::GlobalVariable *op, const std::string &name, const char *callee,
                   unsigned more) {
    llvm::IRBuilder<> b(context_);
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
    std::vector<llvm::Type *> types;
    unsigned scalars = 0, tensors = 0;
    for (std::int32_t i = 0; i < op_.argument_count; ++i) {
      const pit_argument &a = op_.arguments[i];
      types.push_back(is_scalar(a) ? scalar_type(type_of(a)) : pointer);
      ++(is_scalar(a) ? scalars : tensors);
    }
    types.insert(types.end(), 1 + more, pointer);
    auto *call = llvm::Function::Create(llvm::FunctionType::get(i32, types, false),
                                        llvm::GlobalValue::ExternalLinkage, name, module_);
    call->addFnAttr(llvm::Attribute::NoUnwind);
    b.SetInsertPoint(llvm::BasicBlock::Create(context_, "", call));
    const auto list = [&](unsigned count) {
      return b.CreateAlloca(llvm::ArrayType::get(pointer, count > 0 ? count : 1));
    };
    llvm::Value *tensor_list = list(tensors), *scalar_list = list(scalars);
    unsigned next_tensor = 0, next_scalar = 0;
    for (std::int32_t i = 0; i < op_.argument_count; ++i) {
      llvm::Value *value = call->getArg(static_cast<unsigned>(i));
      value->setName(op_.arguments[i].name);
      if (is_scalar(op_.arguments[i])) {
        llvm::Value *place = b.CreateAlloca(value->getType());
        b.CreateStore(value, place);
        b.CreateStore(place, b.CreateConstGEP1_32(pointer, scalar_list, next_scalar++));
      } else {
        b.CreateStore(value, b.CreateConstGEP1_32(pointer, tensor_list, next_tensor++));
      }
    }
    std::vector<llvm::Value *> passed{op, tensor_list, scalar_list};
    for (unsigned i = 0; i <= more; ++i)
      passed.push_back(call->getArg(static_cast<unsigned>(op_.argument_count) + i));
    auto *type =
        llvm::FunctionType::get(i32, std::vector<llvm::Type *>(passed.size(), pointer), false);
    b.CreateRet(b.CreateCall(module_.getOrInsertFunction(callee, type), passed));
  }
};

std::string c_type(Type type) {
  if (type == float32) return "float";
  if (type == float64) return "double";
  if (type == boolean) return "uint8_t";
  if (type.is_float()) return "uint16_t";
  return to_string(type) + "_t";
}

std::string upper(std::string text) {
  for (char &c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

// One line of the comment above the function.
std::string said_of(const pit_argument &a) {
  std::string text = " *   " + std::string(a.name) + ": " + to_string(type_of(a));
  if (is_scalar(a)) {
    const Type type = type_of(a);
    if (type.is_float() && type.bytes() == 2) text += ", its bits";
    return text + "\n";
  }
  text += " of rank " + std::to_string(a.rank);
  if (a.kind != PIT_INPUT) text += ", written";
  if (a.alignment > 1) text += ", at a multiple of " + std::to_string(a.alignment) + " bytes";
  for (std::int32_t d = 0; a.extents && d < a.rank; ++d) {
    if (a.extents[d] != PIT_ANY_EXTENT)
      text += ", extent " + std::to_string(a.extents[d]) + " in dimension " + std::to_string(d);
  }
  for (std::int32_t d = 0; a.strides && d < a.rank; ++d) {
    if (a.strides[d] != PIT_ANY_STRIDE)
      text += ", stride " + std::to_string(a.strides[d]) + " in dimension " + std::to_string(d);
  }
  return text + "\n";
}

}  // namespace

Object metadata_object(const pit_operator &op, const std::vector<TargetCode> &codes) {
  return Metadata(op, codes).emit();
}

std::string c_header(const pit_operator &op) {
  const std::string name = op.name, guard = "PIT_OPERATOR_" + upper(name) + "_H";
  std::string text =
      "/* Made by pit; do not edit. Link with the runtime: pit::runtime in CMake, or "
      "-lpit_runtime\n"
      " * -lm -lpthread -ldl. */\n"
      "#ifndef " +
      guard + "\n#define " + guard +
      "\n\n"
      "#include <pit_runtime.h>\n\n"
      "#if PIT_ABI_VERSION != " +
      std::to_string(PIT_ABI_VERSION) +
      "\n"
      "#error \"" +
      name + " was compiled for version " + std::to_string(PIT_ABI_VERSION) +
      " of pit's binary interface, and pit_runtime.h is of another: compile it again, or "
      "install the release that made it\"\n#endif\n\n"
      "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  text += "/* What " + name + " takes, for pit_operator_call and for programs that look. Targets:";
  for (std::int32_t i = 0; i < op.code_count; ++i)
    text += std::string(i > 0 ? ", " : " ") + op.codes[i].target;
  text += ". */\nextern const pit_operator pit_operator_" + name + ";\n\n";
  text += "/* Arguments:\n";
  for (std::int32_t i = 0; i < op.argument_count; ++i) text += said_of(op.arguments[i]);
  text +=
      " * Tensors are all in the host's memory or all on one CUDA device. `options` may be null.\n"
      " * Returns a pit_status; pit_last_error() says what is wrong. Thread-safe. */\n";
  const auto declare = [&](const std::string &function, const char *last) {
    const std::string indent(function.size() + 9, ' ');
    text += "int32_t " + function + "(";
    for (std::int32_t i = 0; i < op.argument_count; ++i) {
      const pit_argument &a = op.arguments[i];
      text +=
          (is_scalar(a) ? c_type(type_of(a)) + " " : "const DLTensor *") + a.name + ",\n" + indent;
    }
    text += "const pit_options *options" + (*last != 0 ? ",\n" + indent + last : "") + ");\n\n";
  };
  declare(name, "");
  text += "/* How many bytes of workspace such a call takes at most: see pit_runtime.h. */\n";
  declare(name + "_workspace_size", "int64_t *needed_bytes");
  return text + "#ifdef __cplusplus\n}\n#endif\n#endif\n";
}

}  // namespace pit::emit
