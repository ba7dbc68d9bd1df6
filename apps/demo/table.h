// What was measured, for people and for programs.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "measure.h"

namespace pit::demo {

/// A table with a line for every case and target, printed as the lines come. All columns have fixed
/// widths.
class Table {
 public:
  /// `names`, `targets`: of all that will be shown. One target has no column.
  Table(std::ostream &out, const std::vector<std::string> &names,
        const std::vector<std::string> &targets);

  void header();
  void row(const Measurement &measurement);

 private:
  std::ostream &out_;
  std::size_t name_width_, target_width_ = 0;
};

/// Writes a JSON array, one row a line: for every case and target a row of the system "pit",
/// compared with "dense", and a row of the system "dense", compared with nothing (`vs` and `ratio`
/// are null). `ratio` is the total time of `vs` / that of the row. Times are in microseconds.
void write_json(std::ostream &out, const std::vector<Measurement> &measurements, int threads);

}  // namespace pit::demo
