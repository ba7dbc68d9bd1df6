#include "target.h"

namespace pit::program {

Target target_of(CommandLine &line) {
  const std::string text = line.value();
  try {
    if (text != "cuda") return Target(text);
    const std::vector<CudaDevice> devices = cuda_devices();
    return devices.empty() ? Target("x86-64-linux-cuda") : devices.front().target;
  } catch (const CompileError &error) {
    // Where in this program the target is made says nothing to its user.
    const std::string message = error.what(), number = std::to_string(error.where().line()) + ": ";
    const std::size_t place = message.find(number);
    throw UsageError(line.name() + ": " +
                     message.substr(place == message.npos ? 0 : place + number.size()));
  }
}

}  // namespace pit::program
