// What pit's interpreter makes of the operator on the data of call.c: an element a line.
#include <pit/pit.h>

#include <cstdio>

int main() {
  using namespace pit;
  Var i("i"), j("j");
  TensorParam X(float32, 2, "X"), keep(uint8, 1, "keep");
  Param<float> factor("factor");
  Func Y("Y");
  Y(i, j) = factor * X(i, j);
  Y.where(keep(i) != 0);

  constexpr int kRows = 7, kColumns = 5;
  const Buffer<float, 2> x({kRows, kColumns}), y({kRows, kColumns});
  const Buffer<std::uint8_t, 1> kept({kRows});
  for (int row = 0; row < kRows; ++row) {
    kept(row) = row % 3 != 0;
    for (int column = 0; column < kColumns; ++column) {
      x(row, column) = static_cast<float>(row * kColumns + column);
      y(row, column) = -1;
    }
  }
  Reference(Pipeline({Y}, {}, "scale"), {{"X", x}, {"keep", kept}}, {{"factor", 3}})
      .run({{"Y", y}});
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) std::printf("%.9g\n", double(y(row, column)));
  }
}
