// .npy files: every type back and forth, both orders, files of NumPy's own, and malformed ones.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <framegrad/io/npy.hpp>

namespace {

using namespace fg;
namespace fs = std::filesystem;

class Npy : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  std::string in(const std::string& name) const { return (folder / name).string(); }
  /// A file of the given version with this header and so many bytes of data.
  std::string file(const std::string& header, std::size_t data_bytes, int version = 1) const {
    std::string s = "\x93NUMPY" + std::string(1, char(version)) + std::string(1, '\0');
    for (int i = 0; i < (version == 1 ? 2 : 4); ++i) s += char(header.size() >> (8 * i));
    s += header;
    for (std::size_t i = 0; i < data_bytes; ++i) s += char(i % 2);
    std::ofstream(in("case.npy"), std::ios::binary) << s;
    return in("case.npy");
  }
  std::string refusal(const std::string& path) const {
    try {
      load_npy(path);
      return "";
    } catch (const FileError& e) {
      return e.what();
    }
  }
  const fs::path folder = fs::temp_directory_path() / ("framegrad_npy_" + std::to_string(::getpid()));
};

TEST_F(Npy, RoundTrip) {
  const AnyTensor all[] = {tensor<float, 2>({2, 3}, {1, -2, 3.5f, 0, 1e-40f, INFINITY}), tensor<double, 1>({2}, {0.1, -1e300}), tensor<half, 1>({1}, {half(0.333f)}),
                           tensor<std::int64_t, 1>({2}, {INT64_MIN, INT64_MAX}), tensor<std::int32_t, 3>({1, 2, 1}, {-7, 7}), tensor<std::uint8_t, 1>({3}, {0, 128, 255}),
                           tensor<bool, 1>({3}, {true, false, true}), scalar<float>(42), empty<float>({3, 0, 2})};
  for (const AnyTensor& t : all) {
    save_npy(in("t.npy"), t);
    EXPECT_EQ((fs::file_size(in("t.npy")) - std::size_t(t.bytes())) % 64, 0u);
    const AnyTensor read = load_npy(in("t.npy"));
    EXPECT_EQ(read.dtype(), t.dtype());
    EXPECT_EQ(read.sizes(), t.sizes());
    EXPECT_EQ(std::memcmp(read.raw(), t.raw(), std::size_t(t.bytes())), 0) << name_of(t.dtype());
  }
  save_npy(in("t.npy"), all[0].transpose(0, 1));
  EXPECT_EQ((Tensor<float, 2>(load_npy(in("t.npy")))(2, 0)), 3.5f);
  EXPECT_THROW(save_npy(in("t.npy"), scalar<bf16>(bf16(1.0f))), FileError);
}

TEST_F(Npy, FortranOrderAndVersions) {
  for (const int version : {1, 2, 3}) {
    const auto t = Tensor<std::uint8_t, 2>(load_npy(file("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }   \n", 6, version)));
    EXPECT_EQ(t.strides(), (Shape{1, 2}));
    EXPECT_EQ(t(0, 2), 0);
    EXPECT_EQ(t(1, 2), 1);
  }
  EXPECT_EQ(load_npy(file("{\"shape\":(4,),\"fortran_order\":False,\"descr\":\"|b1\"}", 4)).sizes(), Shape{4});
  // A header that leaves the data unaligned for their type is read all the same.
  const auto t = load_npy(file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", 8));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.raw()) % 8, 0u);
}

TEST_F(Npy, MalformedFiles) {
  const auto header = [](const std::string& descr, const std::string& shape) { return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }"; };
  EXPECT_EQ(refusal(file(header("<f4", "(2,)"), 8)), "");
  EXPECT_NE(refusal(file(header("<f4", "(2,)"), 7)).find("7 bytes for an array of 8"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(2,)"), 9)).find("9 bytes for"), std::string::npos);
  EXPECT_NE(refusal(file(header(">f4", "(2,)"), 8)).find("\">f4\""), std::string::npos);
  EXPECT_NE(refusal(file(header("|O", "(2,)"), 8)).find("\"|O\""), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(-2,)"), 8)).find("no number"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(99999999999999999999,)"), 8)).find("too large"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(4294967296, 4294967296)"), 0)).find("more than 2^63"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(1,1,1,1,1,1,1,1,2)"), 8)).find("rank 9"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(2"), 8)), "");
  EXPECT_NE(refusal(file(header("<f4", "(2,), 'shape': (2,)"), 8)).find("twice"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(2,), 'x': 'y'"), 8)).find("none of"), std::string::npos);
  EXPECT_NE(refusal(file("{'descr': '<f4'}", 8)).find("are needed"), std::string::npos);
  EXPECT_NE(refusal(file("{'descr': '<f4", 8)).find("doesn't end"), std::string::npos);
  EXPECT_NE(refusal(file(header("<f4", "(2,)") + "x", 8)).find("follows"), std::string::npos);
  EXPECT_NE(refusal(file("", 8)), "");
  EXPECT_NE(refusal(file(header("<f4", "(2,)"), 8, 4)).find("version 4.0"), std::string::npos);
  std::ofstream(in("case.npy"), std::ios::binary) << "\x93NUMPY\x01" << '\0' << "\xff\xff{}";
  EXPECT_NE(refusal(in("case.npy")).find("65535 bytes is announced"), std::string::npos);
  std::ofstream(in("case.npy"), std::ios::binary) << "PK";
  EXPECT_NE(refusal(in("case.npy")).find("no npy file"), std::string::npos);
  EXPECT_NE(refusal(in("none.npy")).find("No such file"), std::string::npos);
}

TEST(NpyData, FilesOfNumPyAreRead) {
  std::vector<std::string> roots;
  if (const char* s = std::getenv("FRAMEGRAD_SHARED")) roots.push_back(s);
#ifdef FRAMEGRAD_SOURCE_DIR
  roots.push_back(std::string(FRAMEGRAD_SOURCE_DIR) + "/../shared/data");
#endif
  for (const auto& root : roots) {
    const std::string path = root + "/video/frames_64x64_16.npy";
    if (!fs::exists(path)) continue;
    const AnyTensor frames = load_npy(path);
    EXPECT_EQ(frames.dtype(), Dtype::u8);
    EXPECT_EQ(frames.sizes(), (Shape{35, 16, 64, 64, 3}));
    return;
  }
  GTEST_SKIP() << "no shared data: set FRAMEGRAD_SHARED to its folder";
}

}  // namespace
