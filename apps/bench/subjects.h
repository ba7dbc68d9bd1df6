// Systems that multiply matrices, as subjects of a measurement.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "case.h"
#include "matrix.h"

namespace pit::bench {

/// The inputs of an operator, by the names of its signature.
using Inputs = std::map<std::string, AnyBuffer>;

/// `pipeline`, compiled for `target`, with an output of `type` and `extents` for each data set.
Subject pit_subject(const std::string &system, const Pipeline &pipeline, const Target &target,
                    const std::vector<Inputs> &sets, Type type, const Shape &extents);

/// Factors of the products of each data set.
struct Factors {
  Matrix a, b;
};

/// OpenBLAS on the float32 values of the factors.
void add_openblas(std::vector<Subject> &subjects, const std::vector<Factors> &sets);
/// oneDNN on the factors in their own type.
void add_onednn(std::vector<Subject> &subjects, const std::vector<Factors> &sets);
/// Eigen's sparse product: alone, as "Eigen CSR", and with the conversion of the dense matrix.
void add_eigen(std::vector<Subject> &subjects, const std::vector<Factors> &sets);

}  // namespace pit::bench
