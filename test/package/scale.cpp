// Rows that are kept, times a factor.
#include <pit/generator.h>
#include <pit/pit.h>

struct Scale {
  pit::Input<float, 2> X;
  pit::Input<std::uint8_t, 1> keep;
  pit::ScalarInput<float> factor;
  pit::Parameter<int> lanes{8, "rows of a tile", pit::range(1, 64)};
  pit::Output<float, 2> Y;

  void generate() {
    Y(i, j) = factor * X(i, j);
    Y.where(keep(i) != 0);
  }
  void schedule() { Y.pit_tile(tile, {.axis = i, .dense = {{i, lanes}}}); }

 private:
  pit::Var i{"i"}, j{"j"}, tile{"tile"};
};
PIT_GENERATOR(Scale, "scale", X, keep, factor, lanes, Y)
