// Sums of rows that end where the data say, over a sparse index: what that takes is data, too.
#include <pit/generator.h>
#include <pit/pit.h>

struct Lengths {
  pit::Input<std::int32_t, 1> length;
  pit::Input<float, 2> X;
  pit::Output<float, 1> Y;

  void generate() {
    pit::RDom j(0, length(i), "j");
    j.where(X(i, j) != 0);
    Y(i) += X(i, j);
    Y.update().pit_tile(tile, {.axis = j, .dense = {{j, 16}}});
  }

 private:
  pit::Var i{"i"}, tile{"tile"};
};
PIT_GENERATOR(Lengths, "lengths", length, X, Y)
