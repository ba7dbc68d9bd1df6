// Lesson 7: a first generator. This program compiles its operator to files; lessons 8 and 9 call
// it.
//
//     lesson_07_first_generator --list
//     lesson_07_first_generator --describe lesson_scale
//     lesson_07_first_generator -g lesson_scale -o /tmp/operators target=x86-64-linux lanes=16
//
// pit-run runs it without a program of its own:
//
//     pit-run /tmp/operators/lesson_scale.a --shape X=9x4 --shape keep=9 --shape Y=9x4 --benchmark
//
// It has no main of its own: pit::generator, which it is linked with, brings one.
#include <pit/generator.h>
#include <pit/pit.h>

using namespace pit;

// Members are the operator's arguments and parameters. Their types say what a call must bring.
struct ScaleKeptRows {
  Input<float, 2> X;
  Input<std::uint8_t, 1> keep;
  ScalarInput<float> factor;
  Parameter<int> lanes{8, "rows that are computed together", range(1, 64)};
  Output<float, 2> Y;

  // The algorithm. Rows that are not kept stay as the caller has them.
  void generate() {
    Y(i, j) = factor * X(i, j);
    Y.where(keep(i) != 0);
  }

  // The schedule, which a parameter may shape.
  void schedule() { Y.pit_tile(tile, {.axis = i, .dense = {{i, lanes}}}); }

 private:
  Var i{"i"}, j{"j"}, tile{"tile"};
};

// Its name, and the members in the order of a call.
PIT_GENERATOR(ScaleKeptRows, "lesson_scale", X, keep, factor, lanes, Y)
