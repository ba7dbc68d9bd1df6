// C structures as constants of an LLVM module.
#pragma once

#include <llvm/IR/Constants.h>
#include <llvm/IR/Module.h>

#include <concepts>
#include <string>
#include <vector>

namespace pit::emit {

/// Members of structures have the sizes and alignments that C gives them on the module's target.
class Constants {
 public:
  explicit Constants(llvm::Module &module) : module_(module), context_(module.getContext()) {}

  llvm::Constant *i8(int v) { return number(8, static_cast<std::uint64_t>(v)); }
  llvm::Constant *i16(int v) { return number(16, static_cast<std::uint64_t>(v)); }
  llvm::Constant *i32(std::integral auto v) { return number(32, static_cast<std::uint32_t>(v)); }
  llvm::Constant *i64(std::int64_t v) { return number(64, static_cast<std::uint64_t>(v)); }
  llvm::Constant *null() {
    return llvm::ConstantPointerNull::get(llvm::PointerType::get(context_, 0));
  }
  llvm::Constant *structure(const std::vector<llvm::Constant *> &members) {
    return llvm::ConstantStruct::getAnon(context_, members);
  }
  /// Pointers to constants of the module: NUL-terminated text, bytes at a multiple of 16, a list of
  /// constants of one type (null for an empty one).
  llvm::Constant *text(const std::string &text) {
    return global(llvm::ConstantDataArray::getString(context_, text), 1);
  }
  llvm::Constant *bytes(const std::string &bytes) {
    return global(llvm::ConstantDataArray::getString(context_, bytes, false), 16);
  }
  llvm::Constant *list(const std::vector<llvm::Constant *> &members) {
    if (members.empty()) return null();
    auto *type = llvm::ArrayType::get(members.front()->getType(), members.size());
    return global(llvm::ConstantArray::get(type, members), 8);
  }

 private:
  llvm::Module &module_;
  llvm::LLVMContext &context_;

  llvm::Constant *number(unsigned bits, std::uint64_t v) {
    return llvm::ConstantInt::get(llvm::IntegerType::get(context_, bits), v);
  }
  llvm::Constant *global(llvm::Constant *value, unsigned alignment) {
    auto *made = new llvm::GlobalVariable(module_, value->getType(), true,
                                          llvm::GlobalValue::PrivateLinkage, value);
    made->setAlignment(llvm::Align(alignment));
    made->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
    return made;
  }
};

}  // namespace pit::emit
