// STDiT: what must hold exactly (specs H.1, 1–10), the published size, and loading PixArt's layout.
#include <gtest/gtest.h>

#include <numeric>

#include <framegrad/models/pixart_import.hpp>

#include "tiny_stdit.hpp"

namespace {

using namespace fg;
using test::filled, test::prefix_mask, test::tiny;

std::vector<float> values(const AnyTensor& t) {
  const AnyTensor r = row_major_copy(t.detach());
  const auto* p = static_cast<const float*>(r.raw());
  return {p, p + r.count()};
}
double greatest_difference(const AnyTensor& a, const AnyTensor& b) {
  const auto x = values(a), y = values(b);
  EXPECT_EQ(x.size(), y.size());
  double d = 0;
  for (std::size_t i = 0; i < x.size(); ++i) d = std::max(d, std::abs(double(x[i]) - double(y[i])));
  return d;
}

/// x with the places of an axis taken in another order.
template <int R>
Tensor<float, R> reordered(const Tensor<float, R>& x, int axis, const std::vector<Index>& order) {
  const Tensor<float, R> y(row_major_copy(x));
  for (std::size_t i = 0; i < order.size(); ++i) copy_into(y.AnyTensor::select(axis, Index(i)), x.AnyTensor::select(axis, order[i]));
  return y;
}

struct Tiny : testing::Test, test::TinyStdit {
  void zero(std::string_view ending) const {
    for (const auto& s : params.slots())
      if (s->name.find(ending) != std::string::npos) test::fill(s->value, s->name, 0);
  }
};

TEST_F(Tiny, CheckpointedBlocksGiveTheSameGradients) {
  StditConfig c = tiny();
  c.checkpoint_blocks = true;
  const Stdit<float> again(c, params);  // the same tensors
  const auto gradients = [&](const Stdit<float>& m) {
    params.zero_grad();
    backward(loss(m, {7, 900}).total);
    std::vector<std::vector<float>> all;
    for (const auto& s : params.trainable()) all.push_back(values(grad(s->value)));
    return all;
  };
  EXPECT_EQ(gradients(model), gradients(again));
}

TEST(Stdit, StartsAtZero) {
  const Stdit<float> fresh(tiny(), Params(3));
  const auto x = filled<float, 5>("input.x", {2, 4, 4, 8, 8}), noise = filled<float, 5>("input.eps", {2, 4, 4, 8, 8});
  const auto y = filled<float, 4>("input.y", {2, 1, 12, 32});
  const NoGrad off;
  for (const float v : values(fresh(x, tensor<float, 1>({2}, {7, 900}), y))) ASSERT_EQ(v, 0);
  const auto l = iddpm_loss(linear_schedule(), [&](const Tensor<float, 5>& xt, const Tensor<float, 1>& t) { return fresh(xt, t, y); }, x, {7, 900}, noise);
  double squares = 0;
  for (const float v : values(noise)) squares += double(v) * double(v);
  EXPECT_NEAR((l.mse(0) + l.mse(1)) / 2, squares / double(noise.count()), 1e-6);
}

TEST_F(Tiny, FramesAreIndependentWithoutTemporalProjection) {
  zero(".attn_temp.proj.");
  const NoGrad off;
  const auto out = model(x, t, y, mask);
  const std::vector<Index> order{2, 0, 3, 1};
  EXPECT_EQ(greatest_difference(model(reordered(x, 2, order), t, y, mask), reordered(out, 2, order)), 0);
  const auto still = reordered(x, 2, {1, 1, 1, 1});
  const auto equal = model(still, t, y, mask);
  for (Index f = 1; f < 4; ++f) EXPECT_EQ(greatest_difference(equal.select(2, f), equal.select(2, 0)), 0);
  for (Index f = 0; f < 4; ++f)  // products of other sizes sum in another order
    EXPECT_LE(greatest_difference(model(slice(x, 2, f, f + 1), t, y, mask).select(2, 0), out.select(2, f)), 2e-5);
}

TEST_F(Tiny, FramePermutations) {
  const NoGrad off;
  const std::vector<Index> order{2, 0, 3, 1};
  EXPECT_GT(greatest_difference(model(reordered(x, 2, order), t, y, mask), reordered(model(x, t, y, mask), 2, order)), 1e-3);  // the table tells frames apart
  test::fill(params.find("pos_embed_temporal")->value, "zero", 0);
  EXPECT_LE(greatest_difference(model(reordered(x, 2, order), t, y, mask), reordered(model(x, t, y, mask), 2, order)), 2e-5);
}

// A model that is its two ends: width 32, patches taken as they are, blocks that add nothing, and a head that passes LN(token) on.
TEST(Stdit, PatchesAndHeadPutEachValueInItsPlace) {
  StditConfig c = tiny();
  c.hidden = 32, c.heads = 1, c.depth = 1;
  const Params p;
  const Stdit<float> m(c, p);
  for (const auto& s : p.slots())
    if (s->is_saved) test::fill(s->value, s->name, 0);
  const auto set = [&](const char* name, Index row, Index column, Index columns) { static_cast<float*>(p.find(name)->value.raw())[row * columns + column] = 1; };
  for (Index i = 0; i < 16; ++i) set("x_embedder.proj.weight", i, i, 16);
  for (Index i = 0; i < 32; ++i) set("final_layer.linear.weight", i, i, 32);
  const NoGrad off;
  auto x = empty<float>({1, 4, 2, 6, 8});  // another size than the stored tables are for
  std::iota(x.data(), x.data() + x.count(), 0.0f);
  const auto tokens = m.patches(x);
  ASSERT_EQ(tokens.sizes(), (Shape{1, 2, 12, 32}));
  const auto out = m(x, timesteps(1, 0), zeros<float>({1, 1, 12, 32}));
  const auto table = grid_table<float>(3, 4, 32, c.space_scale);
  for (Index f = 0; f < 2; ++f)
    for (Index h = 0; h < 3; ++h)
      for (Index w = 0; w < 4; ++w) {
        const Index s = h * 4 + w;
        double v[32], mean = 0, var = 0;
        for (Index d = 0; d < 32; ++d) {
          const double wanted = d < 16 ? x(0, d / 4, f, 2 * h + d / 2 % 2, 2 * w + d % 2) : 0;  // feature (c, ph, pw)
          EXPECT_EQ(tokens(0, f, s, d), wanted);
          v[d] = wanted + table(s, d), mean += v[d] / 32;
        }
        for (const double u : v) var += (u - mean) * (u - mean) / 32;
        for (Index d = 0; d < 32; ++d)  // feature (ph, pw, c)
          EXPECT_NEAR(out(0, d % 8, f, 2 * h + d / 16, 2 * w + d / 8 % 2), (v[d] - mean) / std::sqrt(var + 1e-6), 1e-5);
      }
  EXPECT_THROW(m(zeros<float>({1, 4, 2, 5, 8}), timesteps(1, 0), zeros<float>({1, 1, 12, 32})), ShapeError);
}

TEST(Stdit, AttentionOverOneKeyIsItsValue) {
  const Params p;
  const CrossAttention<float> cross(16, 2, p / "cross");
  const SelfAttention<float> self(16, 2, p / "self");
  for (const auto& s : p.slots()) test::fill(s->value, s->name);
  const Linear<float> kv(16, 32, p / "cross" / "kv_linear"), cross_proj(16, 16, p / "cross" / "proj"), qkv(16, 48, p / "self" / "qkv"), self_proj(16, 16, p / "self" / "proj");
  const NoGrad off;
  const auto x = filled<float, 3>("x", {2, 5, 16}), text = filled<float, 3>("text", {2, 1, 16});
  const auto out = cross(x, text), value = cross_proj(slice(kv(text), -1, 16, 32));
  for (Index i = 0; i < 5; ++i) EXPECT_LE(greatest_difference(out.select(1, i), value.select(1, 0)), 1e-6);
  const auto single = filled<float, 3>("single", {7, 1, 16});
  EXPECT_LE(greatest_difference(self(single), self_proj(slice(qkv(single), -1, 32, 48))), 1e-6);
}

TEST_F(Tiny, TextBehindTheMaskChangesNothing) {
  const NoGrad off;
  const auto out = model(x, t, y, mask);
  const Tensor<float, 4> other(row_major_copy(y));
  test::fill(other.AnyTensor::select(0, 0).slice(1, 5, 12), "other", 100);
  test::fill(other.AnyTensor::select(0, 1).slice(1, 9, 12), "another", 100);
  EXPECT_EQ(greatest_difference(model(x, t, other, mask), out), 0);
  EXPECT_LE(greatest_difference(model(x, t, slice(y, 2, 0, 9), prefix_mask({5, 9}, 9)), out), 1e-6);  // rows that no sample sees may be left out
  // A mask with a gap sees the rows it names: the same as those rows alone.
  const auto holes = prefix_mask({5, 5}, 12);
  holes(0, 1) = 0, holes(1, 1) = 0;
  const auto packed = reordered(y, 2, {0, 2, 3, 4, 1, 5, 6, 7, 8, 9, 10, 11});
  EXPECT_LE(greatest_difference(model(x, t, y, holes), model(x, t, packed, prefix_mask({4, 4}, 12))), 2e-6);
}

TEST_F(Tiny, ASampleIsTheSameAloneAndInABatch) {
  const NoGrad off;
  const auto out = model(x, t, y, mask);
  for (Index i = 0; i < 2; ++i) {
    const auto alone = model(slice(x, 0, i, i + 1), slice(t, 0, i, i + 1), slice(y, 0, i, i + 1), slice(mask, 0, i, i + 1));
    EXPECT_LE(greatest_difference(alone.select(0, 0), out.select(0, i)), 2e-5);
  }
}

TEST_F(Tiny, PatchesThatMoveWithTheirPositions) {
  const NoGrad off;
  const auto out = model(x, t, y, mask);
  // Patches (0, 1) and (2, 3) of the 4×4 grid, tokens 1 and 11, trade places.
  const auto swapped = [](const Tensor<float, 5>& v) {
    const Tensor<float, 5> w(row_major_copy(v));
    const auto cell = [](const AnyTensor& u, Index h, Index column) { return u.slice(3, 2 * h, 2 * h + 2).slice(4, 2 * column, 2 * column + 2); };
    copy_into(cell(w, 0, 1), cell(v, 2, 3)), copy_into(cell(w, 2, 3), cell(v, 0, 1));
    return w;
  };
  EXPECT_GT(greatest_difference(model(swapped(x), t, y, mask), swapped(out)), 1e-3);
  const AnyTensor table = params.find("pos_embed")->value;
  const AnyTensor before = row_major_copy(table);
  copy_into(table.select(1, 1), before.select(1, 11)), copy_into(table.select(1, 11), before.select(1, 1));
  EXPECT_LE(greatest_difference(model(swapped(x), t, y, mask), swapped(out)), 2e-5);
}

TEST_F(Tiny, AnEmptyLatentIsTheBias) {
  const NoGrad off;
  const auto tokens = model.patches(zeros<float>({1, 4, 4, 8, 8}));
  const AnyTensor bias = params.find("x_embedder.proj.bias")->value;
  for (Index f = 0; f < 4; ++f)
    for (Index s = 0; s < 16; ++s) EXPECT_EQ(greatest_difference(tokens.select(0, 0).select(0, f).select(0, s), bias), 0);
}

// --- the published size

TEST(Stdit, XL2HasThePublishedSize) {
  const Index before = Allocator::instance().use().used_bytes;
  const Params p = Params::meta();
  const Stdit<float> xl(StditConfig{}, p);
  EXPECT_EQ(p.parameter_count(), 759620768);
  EXPECT_EQ(p.slots().size(), 550u);
  EXPECT_EQ(named_tensors(p).size(), 548u);  // without the two tables that are computed
  EXPECT_LT(Allocator::instance().use().used_bytes - before, 1 << 20);
}

// --- PixArt's layout

struct Pixart : Tiny {
  NamedTensors file;
  Pixart() {
    for (const auto& [name, tensor] : named_tensors(params)) {
      if (name.find("attn_temp") != std::string::npos) continue;
      const AnyTensor copy = row_major_copy(tensor);
      file.push_back({name, name == "x_embedder.proj.weight" ? copy.squeeze(2) : copy});
    }
    file.push_back({"pos_embed", filled<float, 3>("of another size", {1, 64, 96})});
  }
};

TEST_F(Pixart, IsAppliedFrameByFrame) {
  const Params p(11);
  const Stdit<float> loaded(tiny(), p);
  const auto found = load_stdit(p, file, "toy");
  EXPECT_EQ(found.layout, StditLayout::pixart);
  EXPECT_EQ(found.kept.size(), 3u * 4);  // weight and bias of qkv and proj
  zero(".attn_temp.proj.");
  const NoGrad off;
  const auto out = loaded(x, t, y, mask);
  EXPECT_EQ(greatest_difference(out, model(x, t, y, mask)), 0);
  for (Index f = 0; f < 4; ++f) EXPECT_LE(greatest_difference(loaded(slice(x, 2, f, f + 1), t, y, mask).select(2, 0), out.select(2, f)), 2e-5);
}

TEST_F(Pixart, OwnLayoutIsToldByContentAndStrict) {
  const Params p(11);
  const Stdit<float> loaded(tiny(), p);
  NamedTensors own = named_tensors(params);
  own.push_back({"pos_embed_temporal", filled<float, 3>("of another size", {1, 16, 96})});
  const auto found = load_stdit(p, own, "toy");
  EXPECT_EQ(found.layout, StditLayout::stdit);
  EXPECT_TRUE(found.kept.empty());
  const NoGrad off;
  EXPECT_EQ(greatest_difference(loaded(x, t, y, mask), model(x, t, y, mask)), 0);

  std::erase_if(own, [](const NamedTensor& n) { return n.name == "blocks.1.attn_temp.qkv.bias"; });  // in STDiT's own layout it must be there
  EXPECT_THROW(load_stdit(p, own, "toy"), FileError);
}

TEST_F(Pixart, Refusals) {
  const Params p(11);
  const Stdit<float> loaded(tiny(), p);
  const auto refuses = [&](const NamedTensors& tensors, std::string_view word) {
    try {
      load_stdit(p, tensors, "toy.pth");
      ADD_FAILURE() << "was taken, " << word;
    } catch (const FileError& e) {
      EXPECT_NE(std::string(e.what()).find("toy.pth"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
    }
  };
  auto missing = file;
  std::erase_if(missing, [](const NamedTensor& n) { return n.name == "blocks.2.mlp.fc1.bias" || n.name == "y_embedder.y_embedding"; });
  refuses(missing, "blocks.2.mlp.fc1.bias"), refuses(missing, "y_embedder.y_embedding");
  auto more = file;
  more.push_back({"blocks.3.mlp.fc1.bias", file.back().tensor});
  refuses(more, "blocks.3.mlp.fc1.bias");
  auto mixed = file;
  mixed.push_back({"blocks.0.attn_temp.proj.bias", file.back().tensor});
  refuses(mixed, "attn_temp");
  auto no_patch = file;
  std::erase_if(no_patch, [](const NamedTensor& n) { return n.name == "x_embedder.proj.weight"; });
  refuses(no_patch, "x_embedder.proj.weight");
  auto flat = file;
  for (auto& [name, tensor] : flat)
    if (name == "x_embedder.proj.weight") tensor = filled<float, 2>("flat", {96, 16});
  refuses(flat, "[96, 16]");
}

}  // namespace
