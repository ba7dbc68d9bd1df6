/* An operator as a later version of the compiler would describe it. */
#include <pit_runtime.h>

extern const pit_operator pit_operator_later;
const pit_operator pit_operator_later = {.abi_version = PIT_ABI_VERSION + 1, .name = "later"};
