// An operator that does next to nothing: what a call costs.
#include <pit/generator.h>
#include <pit/pit.h>

struct Increment {
  pit::Input<float, 1> X;
  pit::Output<float, 1> Y;

  void generate() { Y(i) = X(i) + 1; }

 private:
  pit::Var i{"i"};
};
PIT_GENERATOR(Increment, "increment", X, Y)
