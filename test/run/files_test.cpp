// Tensors in files, and made-up ones.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "apps/run/files.h"
#include "apps/run/fill.h"

using namespace pit::run;  // NOLINT: what is tested

namespace {

constexpr DLDataType kFloat{kDLFloat, 32, 1}, kDouble{kDLFloat, 64, 1}, kHalf{kDLFloat, 16, 1},
    kBfloat{kDLBfloat, 16, 1}, kByte{kDLUInt, 8, 1}, kInt{kDLInt, 32, 1}, kTiny{kDLInt, 8, 1},
    kBool{PIT_DL_BOOL, 8, 1};

/// A file with these bytes, which goes with it.
class File {
 public:
  explicit File(const std::string &bytes)
      : path_((std::filesystem::temp_directory_path() /
               ("pit_files_test_" + std::to_string(::getpid())))
                  .string()) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~File() { std::filesystem::remove(path_); }
  File(const File &) = delete;
  File &operator=(const File &) = delete;
  const std::string &path() const { return path_; }

 private:
  std::string path_;
};

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string npy(const std::string &header, const std::string &elements) {
  return std::string("\x93NUMPY\x01\x00", 8) + bytes_of(static_cast<std::uint16_t>(header.size())) +
         header + elements;
}

std::string message_of(const std::string &bytes) {
  const File file(bytes);
  try {
    read_array(file.path());
  } catch (const std::runtime_error &error) {
    return std::string(error.what()).substr(file.path().size());
  }
  return "no error";
}

std::vector<double> elements(const Array &array) {
  std::vector<double> list;
  for (std::int64_t i = 0; i < array.size(); ++i) list.push_back(array[i]);
  return list;
}

TEST_CASE("run: elements are rounded as their types do") {
  const auto through = [](DLDataType type, double value) {
    Array array(type, {});
    array.set(0, value);
    return array[0];
  };
  CHECK(through(kHalf, 1 + 1 / 2048.) == 1);  // a tie goes to even
  CHECK(through(kHalf, 1 + 3 / 2048.) == 1 + 2 / 1024.);
  CHECK(through(kHalf, 65504) == 65504);
  CHECK(through(kHalf, 65519.9) == 65504);
  CHECK(std::isinf(through(kHalf, 65520)));
  CHECK(through(kHalf, std::ldexp(3, -24)) == std::ldexp(3, -24));  // subnormal
  CHECK(through(kHalf, std::ldexp(1, -26)) == 0);
  CHECK(through(kHalf, std::ldexp(2047.9, -25)) == std::ldexp(1, -14));
  CHECK(std::isnan(through(kHalf, std::nan(""))));
  CHECK(through(kBfloat, 1 + 1 / 256.) == 1);
  CHECK(through(kBfloat, -(1 + 3 / 256.)) == -(1 + 2 / 128.));
  CHECK(std::isinf(through(kBfloat, 3.4e38 * 1.001)));
  CHECK(std::isnan(through(kBfloat, std::nan(""))));
  CHECK(through(kFloat, 0.1) == static_cast<double>(0.1F));
  CHECK(through(kTiny, 1000) == 127);
  CHECK(through(kTiny, -1000) == -128);
  CHECK(through(kTiny, 2.5) == 2);
  CHECK(through(kByte, -3) == 0);
  CHECK(through(kBool, 0.1) == 1);
}

TEST_CASE("run: what is written is read") {
  for (const DLDataType type : {kFloat, kDouble, kHalf, kInt, kTiny, kByte, kBool}) {
    CAPTURE(type_name(type));
    Array array(type, {2, 3});
    for (std::int64_t i = 0; i < 6; ++i) array.set(i, static_cast<double>(i % 2));
    const File file("");
    write_npy(file.path(), array);
    const Array read = read_array(file.path());
    CHECK(read.type().code == type.code);
    CHECK(read.type().bits == type.bits);
    CHECK(read.shape() == Shape{2, 3});
    CHECK(elements(read) == elements(array));
    CHECK(std::filesystem::file_size(file.path()) % 64 == array.bytes() % 64);
  }
  Array scalar(kBfloat, {});
  scalar.set(0, 1.5);
  const File file("");
  write_npy(file.path(), scalar);
  const Array read = read_array(file.path());
  CHECK(read.type().code == kDLFloat);
  CHECK(read.type().bits == 32);
  CHECK(elements(read) == std::vector<double>{1.5});
}

TEST_CASE("run: files of NumPy and of DLPack") {
  {
    const File file(npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n",
                        bytes_of(std::int16_t{1}) + bytes_of(std::int16_t{4}) +
                            bytes_of(std::int16_t{2}) + bytes_of(std::int16_t{5}) +
                            bytes_of(std::int16_t{3}) + bytes_of(std::int16_t{6})));
    const Array array = read_array(file.path());
    CHECK(elements(array) == std::vector<double>{1, 2, 3, 4, 5, 6});
    CHECK(array.strides() == Shape{1, 2});
  }
  {
    const File file(npy("{'descr': '|V2', 'fortran_order': False, 'shape': (2,), }",
                        bytes_of(std::uint16_t{0x3fc0}) + bytes_of(std::uint16_t{0xc000})));
    const Array array = read_array(file.path());
    CHECK(array.type().code == kDLBfloat);
    CHECK(elements(array) == std::vector<double>{1.5, -2});
  }
  {
    const File file(bytes_of(std::uint64_t{0xdd5e40f096b4a13f}) + bytes_of(std::uint64_t{0}) +
                    bytes_of(DLDevice{kDLCPU, 0}) + bytes_of(std::int32_t{2}) + bytes_of(kInt) +
                    bytes_of(std::int64_t{1}) + bytes_of(std::int64_t{2}) +
                    bytes_of(std::int64_t{8}) + bytes_of(7) + bytes_of(-9));
    const Array array = read_array(file.path());
    CHECK(array.shape() == Shape{1, 2});
    CHECK(elements(array) == std::vector<double>{7, -9});
  }
}

TEST_CASE("run: files that are wrong are named with what is wrong") {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  CHECK(message_of("") == ": it is neither a .npy file nor a DLPack tensor that TVM or DGL saved");
  CHECK(message_of("\x93NUMPY") == ": it ends too early");
  CHECK(message_of(npy(good, "1234")) == ": it has 4 bytes of elements, and 2 of float32 have 8");
  CHECK(message_of(npy(good, "1234567890")).find("it has 10 bytes") != std::string::npos);
  CHECK(message_of(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "12345678")) ==
        ": elements of type '>f4' are not supported");
  CHECK(message_of(npy("{'descr': '<f4', 'shape': (2,), }", "12345678")) ==
        ": its header has no 'fortran_order'");
  const std::string magic =
      bytes_of(std::uint64_t{0xdd5e40f096b4a13f}) + bytes_of(std::uint64_t{0});
  CHECK(message_of(magic + bytes_of(DLDevice{kDLCPU, 0}) + bytes_of(std::int32_t{-1}) +
                   bytes_of(kInt)) == ": rank -1");
  CHECK(message_of(magic) == ": it ends too early");
  try {
    read_array("/no/such/file");
    FAIL("read");
  } catch (const std::runtime_error &error) {
    CHECK(std::string(error.what()) == "/no/such/file: cannot be read");
  }
}

TEST_CASE("run: conversions keep elements, whatever the layout") {
  Array array(kFloat, {2, 3});
  for (std::int64_t i = 0; i < 6; ++i) array.set(i, static_cast<double>(i) / 2);
  const Array columns = array.converted(kHalf, {1, 0}, 256);
  CHECK(columns.strides() == Shape{1, 2});
  CHECK(reinterpret_cast<std::uintptr_t>(columns.data()) % 256 == 0);  // NOLINT: its place
  CHECK(elements(columns) == elements(array));
}

TEST_CASE("run: made-up values keep to their range and their zeros to their blocks") {
  std::mt19937_64 generator(1);
  Array real(kFloat, {64, 64}), whole(kInt, {1000});
  fill(&real, {2, 3}, {0.75, {32, 2}}, &generator);
  int zeros = 0;
  for (std::int64_t i = 0; i < 64; i += 32) {
    for (std::int64_t j = 0; j < 64; j += 2) {
      const bool zero = real[i * 64 + j] == 0;
      zeros += zero ? 1 : 0;
      for (std::int64_t ii = 0; ii < 32; ++ii) {
        for (std::int64_t jj = 0; jj < 2; ++jj) {
          const double v = real[(i + ii) * 64 + j + jj];
          const bool fits = zero ? v == 0 : v >= 2 && v <= 3;
          CHECK(fits);
        }
      }
    }
  }
  CHECK(zeros > 32);  // of 64
  CHECK(zeros < 62);
  fill(&whole, {-1, 2}, {}, &generator);
  int found[4] = {};
  for (std::int64_t i = 0; i < 1000; ++i) ++found[static_cast<int>(whole[i]) + 1];
  for (const int count : found) CHECK(count > 100);
}

}  // namespace
