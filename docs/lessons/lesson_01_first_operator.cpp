// Lesson 1: the first operator. Funcs, variables, domains, `where`; compiling and calling.
//
// An operator in pit is written twice: once as an algorithm, which says *what* every element is,
// and once as a schedule, which says *how* to compute it. This lesson has no schedule at all.
// Everything then runs as plain loops, which are shown beside the code and checked against it.
#include <pit/pit.h>

#include <cstdio>

using namespace pit;

int main() {
  // --- 1. A pure Func ---
  //
  // A TensorParam is an input: an element type, a rank and a name. Its extents and strides are
  // those of the buffer that a call brings. A Var is a dimension. A Func is a value at every
  // coordinate.
  Var x("x"), y("y");
  TensorParam image(float32, 2, "image"), bias(float32, 1, "bias");
  Func bright("bright");
  bright(x, y) = max(image(x, y) + bias(y), 0);

  // A Pipeline names the outputs. compile() makes machine code once, for all shapes.
  Callable brighten = Pipeline({bright}).compile();

  // Arguments of a call: the inputs in the order of their first use, then the outputs. Storage is
  // row-major: the last index is innermost, as in C and PyTorch (Halide's first is).
  std::printf("brighten(");
  for (const Argument &argument : brighten.signature()) std::printf(" %s", argument.name.c_str());
  std::printf(" )\n");

  // A Buffer owns memory or borrows yours. The extents of the output say how much is computed.
  Buffer<float, 2> in({3, 4}, {-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7});
  Buffer<float, 1> b({4}, {0, 1, 2, 3});
  Buffer<float, 2> out({3, 4});
  brighten(in, b, out);

  // It means:
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 4; ++j) {
      const float v = in(i, j) + b(j);
      if (out(i, j) != (v > 0 ? v : 0)) return 1;
    }
  }

  // The same machine code takes other extents and any strides: here a transposed view of `in` and a
  // part of `b`. Nothing is copied.
  Buffer<float, 2> narrow({4, 3});
  brighten(in.transposed(), b.sliced(0, 0, 3), narrow);
  if (narrow(2, 1) != in(1, 2) + b(1)) return 2;

  // --- 2. A reduction ---
  //
  // An RDom is a domain that an update definition runs over. The first `+=` of an undefined Func
  // starts it from the sum's identity, 0.
  RDom r(0, image.extent(1), "r");
  r.where(image(x, r) > 0);
  Func total("total");
  total(x) += image(x, r);
  Callable sum_positive = Pipeline({total}).compile();

  // It means: what `where` excludes does not happen. The predicate may read data, and this is all
  // that dynamic sparsity is in pit. Lesson 2 says how to be fast at it.
  Buffer<float, 1> sums({3});
  sum_positive(in, sums);
  for (int i = 0; i < 3; ++i) {
    float expected = 0;
    for (int j = 0; j < 4; ++j) {
      if (in(i, j) > 0) expected += in(i, j);
    }
    std::printf("row %d: %g\n", i, static_cast<double>(sums(i)));
    if (sums(i) != expected) return 3;
  }

  // --- 3. `where` is a guard ---
  //
  // Nothing of an iteration is evaluated before its predicates hold. So an index that is data may
  // be out of range wherever a predicate says so: -1 here means "no neighbour".
  TensorParam value(float32, 1, "value"), neighbour(int32, 2, "neighbour");
  RDom n(0, neighbour.extent(1), "n");
  n.where(neighbour(x, n) >= 0);
  Func around("around");
  around(x) += value(neighbour(x, n));
  // The names of the inputs may also be given, in the order that the caller likes.
  Callable gather = Pipeline({around}).compile({"value", "neighbour"});

  Buffer<float, 1> values({4}, {1, 10, 100, 1000}), gathered({3});
  Buffer<std::int32_t, 2> table({3, 2}, {1, 3, -1, 2, -1, -1});
  gather(values, table, gathered);
  std::printf("neighbours: %g %g %g\n", static_cast<double>(gathered(0)),
              static_cast<double>(gathered(1)), static_cast<double>(gathered(2)));
  if (gathered(0) != 1010 || gathered(1) != 100 || gathered(2) != 0) return 4;

  // --- 4. What is wrong is said ---
  //
  // An index out of range where the predicates do hold is an error of the data. It is found before
  // anything is written; the message names the tensor, the index and the place.
  table(2, 0) = 7;
  gathered(0) = -1;
  try {
    gather(values, table, gathered);
    return 5;
  } catch (const RuntimeError &error) {
    std::printf("refused: %s\n", error.what());
  }
  if (gathered(0) != -1) return 6;

  // A program that cannot be right is refused when it is written, with its own file and line.
  try {
    Func twice("twice");
    twice(x, x) = image(x, x);
    return 7;
  } catch (const CompileError &error) {
    std::printf("refused: %s\n", error.what());
  }

  // --- 5. The meaning, without a compiler ---
  //
  // The reference evaluates the definitions themselves, element by element. It is slow, and it is
  // what every compiled result of this project is compared with.
  table(2, 0) = -1;
  Reference reference(Pipeline({around}), {{"value", values}, {"neighbour", table}});
  std::printf("by definition, around(0) = %g\n", reference.value(around, {0}));
  return reference.value(around, {0}) == 1010 ? 0 : 8;
}
