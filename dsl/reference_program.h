// One evaluation of a pipeline in one number type: the meaning of every name in its expressions.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "pipeline.h"
#include "reference_func.h"
#include "reference_index.h"

namespace pit::reference {

template <class V>
class Program final : public Environment<V> {
 public:
  /// `extents`: of outputs that are not compact. `index_groups`: number of groups of indices with a
  /// key.
  Program(const Pipeline &pipeline, const std::map<std::string, AnyBuffer> &inputs,
          const std::map<std::string, double> &scalars, std::map<const FuncNode *, Shape> extents,
          std::map<const IndexNode *, std::int64_t> index_groups);

  FuncValues<V> &func(FuncNode &func);
  const IndexLists &lists(const IndexPtr &index);
  /// The range of a Func's dimension: of an output, declared by bound(), or that of the tensors it
  /// indexes.
  RangedVar range_of(const FuncNode &func, int dimension);
  const std::vector<Directive> &directives() const { return directives_; }

  const AnyBuffer &tensor(const StorageNode &storage) override;
  double scalar(const ParamNode &param) override;
  Values<V> &values(FuncNode &func) override { return this->func(func); }
  double query(const IndexQuery &query, const std::vector<std::int64_t> &arguments) override;

 private:
  std::int64_t indexed_extent(const FuncNode &func, const VarPtr &var);

  std::string name_;
  const std::map<std::string, AnyBuffer> &inputs_;
  const std::map<std::string, double> &scalars_;
  std::map<const FuncNode *, Shape> extents_;
  std::map<const IndexNode *, std::int64_t> index_groups_;
  std::vector<Directive> directives_;
  std::map<const FuncNode *, std::unique_ptr<FuncValues<V>>> funcs_;
  std::map<const IndexNode *, IndexLists> lists_;
};

}  // namespace pit::reference
