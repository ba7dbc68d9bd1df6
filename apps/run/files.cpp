#include "files.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <stdexcept>

namespace pit::run {

namespace {

constexpr char kNpyMagic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
constexpr std::uint64_t kDlpackMagic = 0xdd5e40f096b4a13f;
constexpr DLDataType kBfloat16{kDLBfloat, 16, 1}, kFloat32{kDLFloat, 32, 1};

struct ArrayType {
  const char *text;  // without the order of bytes
  DLDataType type;
};
constexpr ArrayType kNpyTypes[] = {{"b1", {PIT_DL_BOOL, 8, 1}},
                                   {"i1", {kDLInt, 8, 1}},
                                   {"i2", {kDLInt, 16, 1}},
                                   {"i4", {kDLInt, 32, 1}},
                                   {"i8", {kDLInt, 64, 1}},
                                   {"u1", {kDLUInt, 8, 1}},
                                   {"u2", {kDLUInt, 16, 1}},
                                   {"u4", {kDLUInt, 32, 1}},
                                   {"u8", {kDLUInt, 64, 1}},
                                   {"f2", {kDLFloat, 16, 1}},
                                   {"f4", {kDLFloat, 32, 1}},
                                   {"f8", {kDLFloat, 64, 1}},
                                   {"V2", kBfloat16}};

/// The bytes of a file from the first to the last.
class Reader {
 public:
  explicit Reader(const std::string &path) : path_(path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    if (!file.is_open() || file.bad()) fail("cannot be read");
  }
  [[noreturn]] void fail(const std::string &problem) const {
    throw std::runtime_error(path_ + ": " + problem);
  }
  std::size_t rest() const { return bytes_.size() - at_; }
  bool begins_with(const void *magic, std::size_t size) const {
    return bytes_.size() >= size && std::memcmp(bytes_.data(), magic, size) == 0;
  }
  const char *take(std::size_t size) {
    if (rest() < size) fail("it ends too early");
    const char *here = bytes_.data() + at_;
    at_ += size;
    return here;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  /// The elements, which must be all that is left.
  void fill(Array *array) {
    if (rest() != array->bytes()) {
      fail("it has " + std::to_string(rest()) + " bytes of elements, and " +
           to_string(array->shape()) + " of " + type_name(array->type()) + " have " +
           std::to_string(array->bytes()));
    }
    const std::size_t size = rest();
    if (size > 0) std::memcpy(array->data(), take(size), size);
  }

 private:
  std::string path_, bytes_;
  std::size_t at_ = 0;
};

/// The text behind 'name': in the header, a literal of Python.
std::string member(const Reader &file, const std::string &header, const std::string &name) {
  std::size_t at = header.find("'" + name + "'");
  if (at != std::string::npos) at = header.find(':', at);
  if (at != std::string::npos) at = header.find_first_not_of(' ', at + 1);
  if (at == std::string::npos) file.fail("its header has no '" + name + "'");
  const std::size_t end = header[at] == '(' ? header.find(')', at) : header.find_first_of(",}", at);
  return header.substr(at, end - at);
}

Array read_npy(Reader *file) {
  file->take(sizeof kNpyMagic);
  const auto version = file->number<std::uint8_t>();
  file->number<std::uint8_t>();
  if (version < 1 || version > 3) file->fail("version " + std::to_string(version) + " of .npy");
  const std::size_t length =
      version == 1 ? file->number<std::uint16_t>() : file->number<std::uint32_t>();
  const std::string header(file->take(length), length);
  const std::string word = member(*file, header, "descr");
  const DLDataType *type = nullptr;
  for (const ArrayType &known : kNpyTypes) {
    for (const char *order : {"<", "|", "="}) {
      if (word == std::string("'") + order + known.text + "'") type = &known.type;
    }
  }
  if (type == nullptr) file->fail("elements of type " + word + " are not supported");
  Shape shape;
  const std::string extents = member(*file, header, "shape");
  for (std::size_t at = 1; at < extents.size();) {
    std::int64_t extent = 0;
    const auto [stop, error] =
        std::from_chars(extents.data() + at, extents.data() + extents.size(), extent);
    if (error == std::errc()) {
      shape.push_back(extent);
      at = static_cast<std::size_t>(stop - extents.data());
    } else {
      ++at;  // a comma or a space
    }
  }
  std::vector<int> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  if (member(*file, header, "fortran_order") == "True") std::ranges::reverse(order);
  Array array(*type, shape, order);
  file->fill(&array);
  return array;
}

Array read_dlpack(Reader *file) {
  constexpr int kMostDimensions = 64;
  file->take(2 * sizeof(std::uint64_t));
  const auto device = file->number<DLDevice>();
  const auto rank = file->number<std::int32_t>();
  const auto type = file->number<DLDataType>();
  if (device.device_type != kDLCPU) file->fail("its tensor is not of the host");
  if (rank < 0 || rank > kMostDimensions) file->fail("rank " + std::to_string(rank));
  if (type_name(type).empty()) {
    file->fail("elements of DLPack type " + std::to_string(type.code) + " of " +
               std::to_string(type.bits) + " bits are not supported");
  }
  Shape shape;
  for (std::int32_t d = 0; d < rank; ++d) shape.push_back(file->number<std::int64_t>());
  Array array(type, shape);
  if (file->number<std::int64_t>() != static_cast<std::int64_t>(array.bytes()))
    file->fail("its number of bytes is not that of " + to_string(shape) + " elements");
  file->fill(&array);
  return array;
}

}  // namespace

Array read_array(const std::string &path) {
  Reader file(path);
  if (file.begins_with(kNpyMagic, sizeof kNpyMagic)) return read_npy(&file);
  if (file.begins_with(&kDlpackMagic, sizeof kDlpackMagic)) return read_dlpack(&file);
  file.fail("it is neither a .npy file nor a DLPack tensor that TVM or DGL saved");
}

void write_npy(const std::string &path, const Array &array) {
  const bool is_bfloat = array.type().code == kDLBfloat;
  const Array rows = array.converted(is_bfloat ? kFloat32 : array.type());
  std::string type;
  for (const ArrayType &known : kNpyTypes) {
    if (known.type.code == rows.type().code && known.type.bits == rows.type().bits)
      type = (known.type.bits == 8 ? "|" : "<") + std::string(known.text);
  }
  std::string shape;
  for (const std::int64_t extent : rows.shape()) shape += std::to_string(extent) + ",";
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  // Elements begin at a multiple of 64 bytes.
  constexpr std::size_t kBefore = sizeof kNpyMagic + 4;
  header += std::string(63 - (kBefore + header.size()) % 64, ' ') + "\n";
  const auto length = static_cast<std::uint16_t>(header.size());
  std::ofstream file(path, std::ios::binary);
  file.write(kNpyMagic, sizeof kNpyMagic);
  file.write("\x01\x00", 2);
  file.write(reinterpret_cast<const char *>(&length), sizeof length);  // NOLINT: bytes
  file << header;
  file.write(reinterpret_cast<const char *>(rows.data()),  // NOLINT: bytes
             static_cast<std::streamsize>(rows.bytes()));
  file.close();
  if (!file) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace pit::run
