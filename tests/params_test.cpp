// Params: names, initial values, freezing, what is reported, and copying by name.
#include <gtest/gtest.h>

#include <framegrad/nn/named_tensors.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sum.hpp>

namespace fg {
namespace {

std::vector<float> values(const AnyTensor& t) {
  const auto x = t.as<float>();
  return {x.data(), x.data() + x.count()};
}
std::vector<std::string> names(const std::vector<std::shared_ptr<Slot>>& slots) {
  std::vector<std::string> all;
  for (const auto& s : slots) all.push_back(s->name);
  return all;
}
using Names = std::vector<std::string>;

/// A block: a weight, a bias, a buffer.
void make_block(const Params& p) {
  p.tensor<float, 2>("weight", {3, 4}, init::normal(0.02));
  p.tensor<float, 1>("bias", {3}, init::zeros());
  p.buffer<float, 1>("table", {2}, init::ones());
}

TEST(Params, PutsThePathBeforeEveryName) {
  const Params p;
  make_block(p / "blocks" / 0);
  make_block(p / "blocks" / 10);
  EXPECT_EQ(names(p.slots()), (Names{"blocks.0.weight", "blocks.0.bias", "blocks.0.table", "blocks.10.weight", "blocks.10.bias", "blocks.10.table"}));
  EXPECT_EQ(names((p / "blocks" / 1).slots()), Names{});  // 1 is not the beginning of 10
  EXPECT_EQ(names((p / "blocks" / 10).trainable()), (Names{"blocks.10.weight", "blocks.10.bias"}));
  EXPECT_EQ(p.parameter_count(), 2 * 15);
  EXPECT_NE(p.find("blocks.0.bias"), nullptr);
  EXPECT_EQ(p.find("bias"), nullptr);
}

TEST(Params, GivesTheSameTensorForANameAndRefusesAnother) {
  const Params p;
  const auto a = p.tensor<float, 2>("w", {2, 3}, init::normal(1)), b = p.tensor<float, 2>("w", {2, 3}, init::zeros());
  EXPECT_EQ((*a).data(), (*b).data());
  try {
    p.tensor<float, 2>("w", {3, 2}, init::zeros());
    ADD_FAILURE() << "another shape was accepted";
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "w: is [2, 3], asked for as [3, 2]");
  }
  EXPECT_THROW((p.tensor<bf16, 2>("w", {2, 3}, init::zeros())), DtypeError);
}

TEST(Params, InitialValuesDependOnSeedAndNameAlone) {
  const Params alone(7), with_more(7), other(8);
  (with_more / "new").tensor<float, 2>("weight", {9, 9}, init::normal(1));
  make_block(alone / "a"), make_block(with_more / "a"), make_block(other / "a"), make_block(alone / "b");
  EXPECT_EQ(values(alone.find("a.weight")->value), values(with_more.find("a.weight")->value));
  EXPECT_NE(values(alone.find("a.weight")->value), values(other.find("a.weight")->value));
  EXPECT_NE(values(alone.find("a.weight")->value), values(alone.find("b.weight")->value));
}

TEST(Params, InitialValuesAreWhatTheyAreCalled) {
  const Params p(1);
  const auto w = *p.tensor<float, 2>("w", {300, 200}, init::xavier_uniform());
  const double bound = std::sqrt(6.0 / 500);
  double sum = 0, squares = 0, most = 0;
  for (const float v : values(w)) sum += v, squares += double(v) * v, most = std::max(most, std::abs(double(v)));
  const double n = 60000;
  EXPECT_LE(most, bound);
  EXPECT_GT(most, 0.999 * bound);
  EXPECT_NEAR(sum / n, 0, 5 * bound / std::sqrt(3 * n));
  EXPECT_NEAR(squares / n, bound * bound / 3, 0.02 * bound * bound);
  const auto z = *p.tensor<float, 1>("z", {60000}, init::normal(0.5));
  sum = squares = 0;
  for (const float v : values(z)) sum += v, squares += double(v) * v;
  EXPECT_NEAR(sum / n, 0, 5 * 0.5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 0.25, 5 * 0.25 * std::sqrt(2 / n));
}

TEST(Params, OnMetaTakeNoMemory) {
  const Index before = Allocator::instance().use().used_bytes;
  const Params p = Params::meta();
  (p / "huge").tensor<float, 2>("weight", {1 << 20, 1 << 16}, init::normal(1));
  make_block(p);
  EXPECT_EQ(Allocator::instance().use().used_bytes, before);
  EXPECT_EQ(p.parameter_count(), (Index(1) << 36) + 15);
}

TEST(Params, FreezeByNameAndThaw) {
  const Params p;
  make_block(p / "a"), make_block(p / "b");
  const auto weight = (p / "a").tensor<float, 2>("weight", {3, 4}, init::zeros());
  p.freeze([](const std::string& name) { return name.starts_with("a."); });
  EXPECT_EQ(names(p.trainable()), (Names{"b.weight", "b.bias"}));
  EXPECT_FALSE((*weight).requires_grad());  // the layer's handle sees it
  p.freeze([](const std::string& name) { return name == "a.weight" || name == "a.table"; }, false);
  EXPECT_EQ(names(p.trainable()), (Names{"a.weight", "b.weight", "b.bias"}));  // a buffer stays one
  EXPECT_EQ(p.parameter_count(), 30);
}

TEST(Params, NamesWhatNoGradientReached) {
  const Params p;
  make_block(p / "used"), make_block(p / "forgotten");
  const auto w = (p / "used").tensor<float, 2>("weight", {3, 4}, init::zeros());
  backward(sum(*w * *w));
  EXPECT_EQ(p.without_grad(), (Names{"used.bias", "forgotten.weight", "forgotten.bias"}));
  p.zero_grad();
  EXPECT_EQ(p.without_grad().size(), 4u);
}

TEST(NamedTensors, RestoreListsEverythingThatDoesNotFitAndThenCopiesNothing) {
  const Params p, q;
  make_block(p / "a"), make_block(q / "a");
  p.tensor<float, 1>("only_here", {2}, init::ones());
  p.tensor<float, 1>("shape", {2}, init::ones());
  q.tensor<float, 1>("shape", {3}, init::zeros());
  q.tensor<float, 1>("only_there", {2}, init::zeros());
  (q / "a").tensor<float, 1>("bias", {3}, init::zeros());
  const auto before = values(p.find("a.weight")->value);
  q.find("a.weight")->value.as<float, 2>()(0, 0) = 42;
  try {
    restore(named_tensors(p), named_tensors(q), "file");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const FileError& e) {
    EXPECT_STREQ(e.what(),
                 "file: the tensors don't fit; 1 missing: only_here; 1 unexpected: only_there; 1 of another shape or type: shape (float [3], needed float [2])");
  }
  EXPECT_EQ(values(p.find("a.weight")->value), before);
}

TEST(NamedTensors, RestoreReplacesWhatLayersSee) {
  const Params p(1), q(2);
  make_block(p), make_block(q);
  const auto weight = p.tensor<float, 2>("weight", {3, 4}, init::zeros());
  restore(named_tensors(p), named_tensors(q), "copy");
  EXPECT_EQ(values(*weight), values(q.find("weight")->value));
  EXPECT_NE((*weight).data(), q.find("weight")->value.as<float>().data());
}

}  // namespace
}  // namespace fg
