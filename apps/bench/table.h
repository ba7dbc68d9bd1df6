// Rows for people: a table on a terminal.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "row.h"

namespace pit::bench {

/// A table with a line for every system in every case, printed as the lines come. All columns but
/// the last have fixed widths.
class Table {
 public:
  /// `names`: of all cases that will be shown.
  Table(std::ostream &out, const std::vector<std::string> &names);

  void header();
  /// Rows of one case and number of threads. Those of one system, which differ in what it is
  /// compared with, are one line.
  void rows(const std::vector<Row> &rows);

 private:
  std::ostream &out_;
  std::size_t name_width_;
};

}  // namespace pit::bench
