// Looking into a run: the first NaN, and the trace of its ops.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include <nlohmann/json.hpp>

#include <framegrad/autograd/trace.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/log.hpp>
#include <framegrad/ops/matmul.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sqrt.hpp>
#include <framegrad/ops/sub.hpp>
#include <framegrad/ops/sum.hpp>

#include "autograd_values.hpp"

namespace fg {
namespace {

TEST(Anomaly, NamesTheFirstOpThatMadeANaN) {
  set_detect_anomaly(true);
  const auto x = variable(tensor<double, 1>({2}, {1, 0}));
  EXPECT_EQ(message_of<GradError>([&] { exp(log(x - 0.5)); }), "log: forward made a NaN, at element 1 of [2]");
  const auto y = sum(sqrt(x) * 0.0);  // at 0: the slope is ∞, times 0
  EXPECT_EQ(message_of<GradError>([&] { backward(y); }), "sqrt: backward made a NaN, at element 1 of [2]");
  set_detect_anomaly(false);
  EXPECT_TRUE(std::isnan(log(x - 0.5)(1)));
}

TEST(TraceTest, WritesWhatChromeReads) {
  auto& trace = Trace::instance();
  const Matrix x = variable(numbers(8, 8));
  trace.start();
  backward(sum(matmul(x, x)));
  trace.stop();
  exp(x);
  trace.events.push_back({"late", "forward", 123456789.125, 0.5, 0, 0});
  const std::string path = testing::TempDir() + "framegrad_trace.json";
  trace.write(path);
  const auto json = nlohmann::json::parse(std::ifstream(path));
  std::map<std::string, nlohmann::json> by_name;
  for (const auto& e : json.at("traceEvents")) by_name[e.at("name").get<std::string>() + " " + e.at("cat").get<std::string>()] = e;
  EXPECT_EQ(by_name.size(), 5u);
  const auto& product = by_name.at("matmul forward");
  EXPECT_EQ(product.at("ph"), "X");
  EXPECT_EQ(product.at("args").at("flops"), 2 * 8 * 8 * 8);
  EXPECT_EQ(product.at("args").at("bytes"), 3 * 8 * 8 * 8);
  EXPECT_GE(product.at("dur").get<double>(), 0);
  EXPECT_GE(by_name.at("matmul backward").at("ts"), product.at("ts"));
  EXPECT_EQ(by_name.at("matmul backward").at("args").at("flops"), 4 * 8 * 8 * 8);
  EXPECT_EQ(by_name.at("matmul backward").at("args").at("bytes"), 5 * 8 * 8 * 8);  // both factors, the product's gradient, theirs
  EXPECT_EQ(by_name.count("exp forward"), 0u);
  EXPECT_EQ(by_name.at("late forward").at("ts"), 123456789.125);  // minutes into a run, still to the nanosecond
  trace.events.clear();
  EXPECT_THROW(trace.write("/nowhere/trace.json"), FileError);
}

}  // namespace
}  // namespace fg
