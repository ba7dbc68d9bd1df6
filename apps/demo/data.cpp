#include "data.h"

namespace pit::demo {

AnyBuffer Data::tensor(Type type, const Shape &extents, double scale) {
  AnyBuffer buffer(type, extents);
  const auto fill = [&](auto *elements) {
    using Element = std::remove_pointer_t<decltype(elements)>;
    for (std::int64_t i = 0; i < buffer.size(); ++i) {
      elements[i] = Element(static_cast<float>(scale * (2 * uniform() - 1)));
    }
  };
  if (type == bfloat16) {
    fill(static_cast<bfloat16_t *>(buffer.data()));
  } else {
    fill(static_cast<float *>(buffer.data()));
  }
  return buffer;
}

}  // namespace pit::demo
