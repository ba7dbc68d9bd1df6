// The main function of programs of generators.
#include "dsl/generator.h"

int main(int count, char **arguments) { return pit::generator_main(count, arguments); }
