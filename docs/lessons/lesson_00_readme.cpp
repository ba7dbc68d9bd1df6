// Lesson 0: the first operator, as printed in README.md: a matrix product whose zeros are found at
// run time.
#include <pit/pit.h>

#include <cstdio>

using namespace pit;

int main() {
  // The algorithm: C = A B, without the products in which A is zero.
  Var m("m"), n("n"), kt("kt");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);

  // The schedule: for every 32 rows list the columns of A that are not all zero; multiply 128
  // listed columns at a time.
  C.update().pit_tile(kt, {.axis = k, .micro = {{m, 32}, {k, 1}}, .dense = {{k, 128}}});

  // Compiled once, for all shapes.
  Callable spmm = Pipeline({C}).compile();
  Buffer<float, 2> a({64, 256}), b({256, 16}), c({64, 16});
  for (int i = 0; i < 64; ++i) a(i, 7 * i % 256) = 2;
  for (int i = 0; i < 256; ++i) b(i, 5) = static_cast<float>(i);
  spmm(a, b, c);
  std::printf("c(10, 5) = %g\n", static_cast<double>(c(10, 5)));
  return c(10, 5) == 140 && c(10, 4) == 0 ? 0 : 1;
}
