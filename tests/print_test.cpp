// Tensors as text, in a program and in gdb.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <unistd.h>

#include <framegrad/core/print.hpp>

namespace {

using namespace fg;
namespace fs = std::filesystem;

TEST(Print, ValuesInBrackets) {
  EXPECT_EQ(to_string(tensor<float, 2>({2, 3}, {1, 2.5f, -3, 4, 5, 6})), "float [2, 3]\n[[ 1.0000,  2.5000, -3.0000],\n [ 4.0000,  5.0000,  6.0000]]");
  EXPECT_EQ(to_string(tensor<double, 1>({3}, {1, -20, 300})), "double [3]\n[  1., -20., 300.]");
  EXPECT_EQ(to_string(tensor<float, 1>({2}, {1e-7f, 2000})), "float [2]\n[1.0000e-07, 2.0000e+03]");
  EXPECT_EQ(to_string(tensor<bf16, 1>({3}, {bf16(0.5f), bf16(NAN), bf16(-INFINITY)})), "bf16 [3]\n[0.5000,    nan,   -inf]");
  EXPECT_EQ(to_string(tensor<std::int64_t, 1>({2}, {INT64_MIN, 7})), "int64 [2]\n[-9223372036854775808,                    7]");
  EXPECT_EQ(to_string(tensor<bool, 1>({2}, {true, false})), "bool [2]\n[ true, false]");
  EXPECT_EQ(to_string(tensor<std::uint8_t, 1>({1}, {200})), "uint8 [1]\n[200]");
  EXPECT_EQ(to_string(scalar<float>(0.25f)), "float []\n0.2500");
  EXPECT_EQ(to_string(empty<float>({0, 3})), "float [0, 3]\n[]");
  EXPECT_EQ(to_string(AnyTensor()), "undefined tensor");
  EXPECT_EQ(to_string(empty<float>({2, 2}, kMeta)), "float [2, 2] on meta");
  EXPECT_EQ(to_string(of_shape<float>({2, 2})), "float [2, 2] without memory");
  EXPECT_EQ(to_string(tensor<std::int32_t, 3>({2, 1, 2}, {1, 2, 3, 4})), "int32 [2, 1, 2]\n[[[1, 2]],\n\n [[3, 4]]]");
  std::ostringstream out;
  out << tensor<std::int32_t, 2>({2, 3}, {1, 2, 3, 4, 5, 6}).transpose(0, 1).slice(0, 1, 3);
  EXPECT_EQ(out.str(), "int32 [2, 2]\n[[2, 5],\n [3, 6]]");
}

TEST(Print, LargeTensorsAreShortened) {
  EXPECT_EQ(to_string(arange<std::int32_t>(2000)), "int32 [2000]\n[   0,    1,    2, ..., 1997, 1998, 1999]");
  const auto grid = full<std::int32_t, 2>({100, 7}, 1);
  EXPECT_EQ(to_string(grid, {.threshold = 600, .edge = 1}), "int32 [100, 7]\n[[1, ..., 1],\n ...,\n [1, ..., 1]]");
  EXPECT_EQ(to_string(full<std::int32_t, 2>({2, 3}, 1), {.threshold = 1, .edge = 2}), "int32 [2, 3]\n[[1, 1, 1],\n [1, 1, 1]]");  // nothing to leave out
}

TEST(Gdb, ShowsTensors) {
#ifndef FRAMEGRAD_SOURCE_DIR
  GTEST_SKIP() << "built without the place of the sources";
#else
  if (std::system("gdb --version >/dev/null 2>&1 && c++ --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "gdb or a compiler isn't installed";
  const fs::path folder = fs::temp_directory_path() / ("framegrad_gdb_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string root = FRAMEGRAD_SOURCE_DIR, at = folder.string();
  std::ofstream(at + "/a.cpp") << "#include <framegrad/autograd/graph.hpp>\n"
                                  "void stop() {}\n"
                                  "int main() {\n"
                                  "  using namespace fg;\n"
                                  "  const auto x = tensor<float, 2>({2, 3}, {1, 2.5f, 3, 4, 5, 6});\n"
                                  "  const AnyTensor view = x.transpose(0, 1);\n"
                                  "  const auto b = tensor<bf16, 1>({2}, {bf16(0.5f), bf16(-2.0f)});\n"
                                  "  const auto v = variable(tensor<half, 1>({1}, {half(1.5f)}));\n"
                                  "  const auto many = full<std::int64_t, 1>({99}, -7);\n"
                                  "  const AnyTensor none;\n"
                                  "  stop();\n"
                                  "  return int(view.count() + b.count() + v.count() + many.count()) + none.defined();\n"
                                  "}\n";
  const std::string build = "c++ -std=c++20 -g -O0 -I" + root + "/include " + at + "/a.cpp -o " + at + "/a -pthread";
  ASSERT_EQ(std::system(build.c_str()), 0);
  const std::string debug = "gdb -nx -batch -ex 'source " + root + "/scripts/gdb/framegrad_gdb.py' -ex 'break stop' -ex run -ex up -ex 'print x' -ex 'print view' -ex 'print b'"
                            " -ex 'print v' -ex 'print many' -ex 'print none' -ex 'print x.geometry_.sizes' " + at + "/a > " + at + "/out 2>&1";
  const int status = std::system(debug.c_str());
  std::stringstream said;
  said << std::ifstream(at + "/out").rdbuf();
  fs::remove_all(folder);
  ASSERT_EQ(status, 0) << said.str();
  if (said.str().find("ptrace: Operation not permitted") != std::string::npos || said.str().find("Couldn't get registers") != std::string::npos)
    GTEST_SKIP() << "gdb may not debug here";
  for (const char* line : {"$1 = Tensor<float, 2> [2, 3] {1, 2.5, 3, 4, 5, 6}", "$2 = AnyTensor(float) [3, 2] strides [1, 3] {1, 4, 2.5, 5, 3, 6}", "[2] {0.5, -2}",
                           "[1] in the graph {1.5}", "[99] {-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, ...}", "AnyTensor undefined", "$7 = [2, 3]"})
    EXPECT_NE(said.str().find(line), std::string::npos) << line << " isn't in\n" << said.str();
#endif
}

}  // namespace
