#include "case.h"

namespace pit::bench::cuda {

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_gather_cases(cases);
  add_dense_cases(cases);
  add_spmm_cases(cases);
  add_moe_cases(cases);
  add_activation_cases(cases);
  add_attention_cases(cases);
  add_part_cases(cases);
  return cases;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const Case &c : all_cases()) names.push_back(c.name);
  return names;
}

}  // namespace pit::bench::cuda
