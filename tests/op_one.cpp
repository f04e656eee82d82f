// The cases of one file of tests/cases, for the checks of ops.cpp or for the bench. The build gives two definitions:
//   FRAMEGRAD_CASE_FILE   "cases/layer_norm.hpp"
//   FRAMEGRAD_CASES       the structs in it whose names end in Case, with commas between
#include "op_case.hpp"

#include FRAMEGRAD_CASE_FILE

namespace fg::test {

template <class... C>
static std::vector<OpCase> make_cases() { return {make_case<C>()...}; }

std::vector<OpCase> cases() { return make_cases<FRAMEGRAD_CASES>(); }

}  // namespace fg::test
