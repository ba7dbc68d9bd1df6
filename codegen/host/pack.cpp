#include "pack.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "codegen/llvm/conversions.h"
#include "kernel_code.h"

namespace pit::host {

using code::convert;
using code::from_memory;
using code::memory_type;
using code::to_memory;

namespace {

using llvm::BasicBlock;
using llvm::Value;

// Rows whose cache lines are asked for ahead of their turn: a gathered row is nowhere near the last
// one.
constexpr std::int64_t kAhead = 8;

// Interleaving row i with row i + n/2, for all i, log2(n) times turns n rows of n numbers into
// columns: each step moves one bit of the row number to the front of the column number.
std::vector<Value *> turn(llvm::IRBuilder<> &b, std::vector<Value *> rows) {
  const int n = static_cast<int>(rows.size());
  llvm::SmallVector<int, 64> low, high;
  for (int i = 0; i < n; ++i) {
    low.push_back(i / 2 + (i % 2) * n);
    high.push_back(n / 2 + i / 2 + (i % 2) * n);
  }
  for (int step = 1; step < n; step *= 2) {
    std::vector<Value *> next;
    for (int i = 0; i < n / 2; ++i) {
      Value *x = rows[static_cast<std::size_t>(i)], *y = rows[static_cast<std::size_t>(i + n / 2)];
      next.push_back(b.CreateShuffleVector(x, y, low));
      next.push_back(b.CreateShuffleVector(x, y, high));
    }
    rows = std::move(next);
  }
  return rows;
}

// Vectors of one length, their elements in turn: x[0] y[0] x[1] y[1] ...; the number of vectors is
// a power of two.
Value *interleave(llvm::IRBuilder<> &b, std::vector<Value *> vectors) {
  while (vectors.size() > 1) {
    const std::size_t half = vectors.size() / 2;
    std::vector<Value *> next;
    for (std::size_t i = 0; i < half; ++i) {
      Value *x = vectors[i], *y = vectors[i + half];
      const auto n =
          static_cast<int>(llvm::cast<llvm::FixedVectorType>(x->getType())->getNumElements());
      llvm::SmallVector<int, 128> order;
      for (int j = 0; j < n; ++j) order.append({j, n + j});
      next.push_back(b.CreateShuffleVector(x, y, order));
    }
    vectors = std::move(next);
  }
  return vectors.front();
}

class Packer {
 public:
  Packer(llvm::Function *f, const Machine &machine, const Atom &atom, Type from)
      : f_(f),
        machine_(machine),
        atom_(atom),
        from_(from),
        b(f->getContext()),
        source_(memory_type(f->getContext(), from)),
        element_(memory_type(f->getContext(), atom.right)) {
    b.SetInsertPoint(BasicBlock::Create(f->getContext(), "entry", f));
    to_ = f->getArg(0), table_ = f->getArg(1), k_ = f->getArg(2), columns_ = f->getArg(3);
    units_ = b.CreateUDiv(b.CreateNSWAdd(k_, number(atom.group - 1)), number(atom.group));
  }

  void pack_rows() {
    Value *whole_units = b.CreateUDiv(k_, number(atom_.group));
    Value *whole_panels = b.CreateUDiv(columns_, number(atom_.columns));
    Value *last = b.CreateNSWSub(k_, number(1));
    loop(number(0), whole_units, [&](Value *unit) {
      Value *first = b.CreateNSWMul(unit, number(atom_.group));
      std::vector<Value *> rows;
      for (int i = 0; i < atom_.group; ++i) {
        Value *l = b.CreateNSWAdd(first, number(i));
        rows.push_back(row(l));
        Value *later = b.CreateNSWAdd(l, number(kAhead * atom_.group));
        prefetch(row(b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, later, last)));
      }
      loop(number(0), whole_panels, [&](Value *panel) {
        Value *column = b.CreateNSWMul(panel, number(atom_.columns));
        // A vector of sums at a time: as many elements as units of it.
        for (int part = 0; part < atom_.columns; part += atom_.lanes()) {
          std::vector<Value *> numbers;
          for (Value *from : rows) {
            Value *at = b.CreateInBoundsGEP(source_, from, b.CreateNSWAdd(column, number(part)));
            numbers.push_back(load(at, atom_.lanes()));
          }
          b.CreateAlignedStore(interleave(b, std::move(numbers)), place(panel, unit, part, 0),
                               element_alignment());
        }
      });
    });
    // Columns of a part of a panel, and numbers of a part of a unit, one by one.
    Value *whole_columns = b.CreateNSWMul(whole_panels, number(atom_.columns));
    loop(number(0), whole_units, [&](Value *unit) { one_by_one(unit, whole_columns); });
    loop(whole_units, units_, [&](Value *unit) { one_by_one(unit, number(0)); });
    b.CreateRetVoid();
  }

  void pack_columns() {
    const int n = atom_.lanes();
    Value *panels =
        b.CreateUDiv(b.CreateNSWAdd(columns_, number(atom_.columns - 1)), number(atom_.columns));
    Value *blocks = b.CreateUDiv(k_, number(n * atom_.group));
    Value *whole_units = b.CreateNSWMul(blocks, number(n));
    auto *unit_type = b.getIntNTy(static_cast<unsigned>(atom_.type.bytes()) * 8);
    auto *vector = llvm::FixedVectorType::get(unit_type, static_cast<unsigned>(n));
    loop(number(0), panels, [&](Value *panel) {
      Value *first_column = b.CreateNSWMul(panel, number(atom_.columns));
      loop(number(0), number(atom_.vectors()), [&](Value *group) {
        Value *lane = b.CreateNSWMul(group, number(n));
        Value *column = b.CreateNSWAdd(first_column, lane);
        loop(number(0), blocks, [&](Value *block) {
          Value *first = b.CreateNSWMul(block, number(n * atom_.group));
          std::vector<Value *> rows;
          for (int j = 0; j < n; ++j) {
            Value *at =
                b.CreateInBoundsGEP(source_, pointer(b.CreateNSWAdd(column, number(j))), first);
            rows.push_back(b.CreateBitCast(load(at, n * atom_.group), vector));
          }
          rows = turn(b, std::move(rows));
          Value *unit = b.CreateNSWMul(block, number(n));
          for (int l = 0; l < n; ++l) {
            Value *at = place(panel, b.CreateNSWAdd(unit, number(l)), 0, 0);
            at = b.CreateInBoundsGEP(unit_type, at, lane);
            b.CreateAlignedStore(rows[static_cast<std::size_t>(l)], at, element_alignment());
          }
        });
      });
      loop(whole_units, units_, [&](Value *unit) {
        loop(number(0), number(atom_.columns), [&](Value *lane) {
          Value *from = pointer(b.CreateNSWAdd(first_column, lane));
          for (int i = 0; i < atom_.group; ++i) {
            Value *l = b.CreateNSWAdd(b.CreateNSWMul(unit, number(atom_.group)), number(i));
            store_one(
                l, [&] { return b.CreateInBoundsGEP(source_, from, l); },
                number_place(panel, unit, lane, i));
          }
        });
      });
    });
    b.CreateRetVoid();
  }

 private:
  Value *number(std::int64_t v) { return b.getInt64(static_cast<std::uint64_t>(v)); }
  llvm::Align element_alignment() const {
    return llvm::Align(static_cast<std::uint64_t>(atom_.right.bytes()));
  }

  template <class Body>
  void loop(Value *first, Value *end, const Body &body) {
    kernel_loop(b, first, end, 1, body);
  }

  Value *pointer(Value *at) {
    return b.CreateLoad(b.getPtrTy(), b.CreateInBoundsGEP(b.getPtrTy(), table_, at));
  }

  // Of the table, at the first column.
  Value *row(Value *at) { return b.CreateInBoundsGEP(source_, pointer(at), f_->getArg(4)); }

  // `count` elements, converted.
  Value *load(Value *at, int count) {
    llvm::Type *type =
        count == 1 ? source_ : llvm::FixedVectorType::get(source_, static_cast<unsigned>(count));
    Value *bits = b.CreateAlignedLoad(type, at, llvm::Align(1));
    if (from_ == atom_.right) return bits;
    Value *v = convert(b, machine_, from_, atom_.right, from_memory(b, machine_, from_, bits));
    return to_memory(b, machine_, atom_.right, v);
  }

  void prefetch(Value *from) {
    const auto ask = [&](Value *at) {
      b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()},
                        {at, b.getInt32(0), b.getInt32(3), b.getInt32(1)});
    };
    const std::int64_t step = 64 / from_.bytes();
    Value *lines = b.CreateUDiv(b.CreateNSWAdd(columns_, number(step - 1)), number(step));
    loop(number(0), lines,
         [&](Value *line) { ask(b.CreateGEP(source_, from, b.CreateNSWMul(line, number(step)))); });
  }

  // Where number `i` of a unit of constant column `column` lies.
  Value *place(Value *panel, Value *unit, int column, int i) {
    return number_place(panel, unit, number(column), i);
  }
  Value *number_place(Value *panel, Value *unit, Value *column, int i) {
    Value *row = b.CreateNSWAdd(b.CreateNSWMul(panel, units_), unit);
    Value *at = b.CreateNSWAdd(b.CreateNSWMul(row, number(atom_.columns)), column);
    at = b.CreateNSWAdd(b.CreateNSWMul(at, number(atom_.group)), number(i));
    return b.CreateInBoundsGEP(element_, to_, at);
  }

  // Number l of a column, or zero past the end.
  template <class Source>
  void store_one(Value *l, const Source &source, Value *to) {
    if (atom_.group == 1) {
      b.CreateAlignedStore(load(source(), 1), to, element_alignment());
      return;
    }
    auto *some = BasicBlock::Create(b.getContext(), "number", f_);
    auto *done = BasicBlock::Create(b.getContext(), "done", f_);
    b.CreateAlignedStore(llvm::Constant::getNullValue(element_), to, element_alignment());
    b.CreateCondBr(b.CreateICmpSLT(l, k_), some, done);
    b.SetInsertPoint(some);
    b.CreateAlignedStore(load(source(), 1), to, element_alignment());
    b.CreateBr(done);
    b.SetInsertPoint(done);
  }

  // Columns from `first` on of one unit.
  void one_by_one(Value *unit, Value *first) {
    for (int i = 0; i < atom_.group; ++i) {
      Value *l = b.CreateNSWAdd(b.CreateNSWMul(unit, number(atom_.group)), number(i));
      loop(first, columns_, [&](Value *column) {
        Value *panel = b.CreateUDiv(column, number(atom_.columns));
        Value *lane = b.CreateURem(column, number(atom_.columns));
        store_one(
            l, [&] { return b.CreateInBoundsGEP(source_, row(l), column); },
            number_place(panel, unit, lane, i));
      });
    }
  }

  llvm::Function *f_;
  const Machine &machine_;
  const Atom &atom_;
  Type from_;
  llvm::IRBuilder<> b;
  llvm::Type *source_, *element_;
  Value *to_ = nullptr, *table_ = nullptr, *k_ = nullptr, *columns_ = nullptr, *units_ = nullptr;
};

Kernel make_kernel(const char *name, const char *parameters, const Machine &machine,
                   const Atom &atom, Type from, void (Packer::*pack)()) {
  return {name + to_string(from) + "." + atom.name, parameters,
          [=, &atom](llvm::Function *function) {
            function->addParamAttr(0, llvm::Attribute::NoAlias);
            function->addParamAttr(1, llvm::Attribute::NoAlias);
            (Packer(function, machine, atom, from).*pack)();
          }};
}

}  // namespace

Kernel pack_rows_kernel(const Machine &machine, const Atom &atom, Type from) {
  return make_kernel("pit.pack.rows.", "ppwww", machine, atom, from, &Packer::pack_rows);
}

Kernel pack_columns_kernel(const Machine &machine, const Atom &atom, Type from) {
  return make_kernel("pit.pack.columns.", "ppww", machine, atom, from, &Packer::pack_columns);
}

}  // namespace pit::host
