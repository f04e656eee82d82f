// Attention as its equations say, in double, one number after the other: what the kernels are compared with. And inputs for both, with
// every kind of stride, mask and bias.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <framegrad/cpu/attention.hpp>

namespace fg::test {

using cpu::AttentionBias;
using cpu::AttentionMask;
using cpu::AttentionShape;
using cpu::AttentionView;

/// Which axes a bias or mask has of its own: outer, inner, head, query, key. With none, there is no bias.
struct Own {
  bool outer, inner, head, query, key;
  bool any() const { return outer || inner || head || query || key; }
};

struct Case {
  Index outer, inner, heads, queries, keys, head_dim;
  Own bias{}, seen{};
  bool lengths = false;
};

template <class T>
std::vector<T> cast(const std::vector<double>& x) {
  return std::vector<T>(x.begin(), x.end());
}

/// Inputs in double, rounded to what T can hold, with rows in the order [outer, position, inner, heads, head_dim + 3].
struct Inputs {
  Case c{};
  Index gap = 3;
  std::vector<double> q{}, k{}, v{}, g{}, bias{};
  std::vector<std::uint8_t> seen{};
  std::vector<std::int32_t> lengths{};
  double scale = 1;

  template <class T>
  static Inputs make(const Case& c, unsigned seed, T) {
    Inputs in{c};
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<double>& x, Index n) {
      x.resize(std::size_t(n));
      for (double& e : x) e = double(T(normal(random)));
    };
    const Index rows = c.outer * c.inner * c.heads * (c.head_dim + in.gap);
    fill(in.q, rows * c.queries), fill(in.g, rows * c.queries), fill(in.k, rows * c.keys), fill(in.v, rows * c.keys);
    if (c.bias.any()) fill(in.bias, in.size_of(c.bias));
    if (c.seen.any()) {
      in.seen.resize(std::size_t(in.size_of(c.seen)));
      for (auto& e : in.seen) e = random() % 3 != 0;
      for (Index i = 0; c.seen.query && c.seen.key && i < c.keys; ++i) in.seen[std::size_t(i)] = 0;  // the first query sees nothing
    }
    if (c.lengths) {
      for (Index o = 0; o < c.outer; ++o) in.lengths.push_back(o == 1 ? 0 : std::int32_t(c.keys - 1 - o));
    }
    in.scale = 1 / std::sqrt(double(c.head_dim));
    return in;
  }
  Index size_of(const Own& o) const {
    return (o.outer ? c.outer : 1) * (o.inner ? c.inner : 1) * (o.head ? c.heads : 1) * (o.query ? c.queries : 1) * (o.key ? c.keys : 1);
  }
  template <class S> S strided(S s, const Own& o) const {
    Index n = 1;
    s.key = o.key ? n : 0, n *= o.key ? c.keys : 1;
    s.query = o.query ? n : 0, n *= o.query ? c.queries : 1;
    s.head = o.head ? n : 0, n *= o.head ? c.heads : 1;
    s.inner = o.inner ? n : 0, n *= o.inner ? c.inner : 1;
    s.outer = o.outer ? n : 0;
    return s;
  }
  template <class T> AttentionView<T> view(T* data, Index positions) const {
    const Index d = c.head_dim + gap;
    return {data, positions * c.inner * c.heads * d, c.heads * d, d, c.inner * c.heads * d};
  }
  AttentionShape shape() const { return {c.outer, c.inner, c.heads, c.queries, c.keys, c.head_dim, scale}; }
  AttentionMask mask() const {
    AttentionMask m;
    if (!lengths.empty()) m.key_lengths = lengths.data();
    if (!seen.empty()) m = strided(AttentionMask{m.key_lengths, seen.data()}, c.seen);
    return m;
  }
};

struct Results {
  std::vector<double> out, lse, dq, dk, dv, dbias;
};

/// The equations.
inline Results plain(const Inputs& in) {
  const Case& c = in.c;
  Results r;
  r.out.assign(in.q.size(), 0), r.dq = r.out, r.dk.assign(in.k.size(), 0), r.dv = r.dk, r.dbias.assign(in.bias.size(), 0);
  const auto qv = in.view(in.q.data(), c.queries), kv = in.view(in.k.data(), c.keys);
  const auto mask = in.mask();
  const auto bias = in.strided(AttentionBias<const double>{in.bias.data()}, c.bias);
  for (Index o = 0; o < c.outer; ++o) for (Index n = 0; n < c.inner; ++n) for (Index h = 0; h < c.heads; ++h) for (Index i = 0; i < c.queries; ++i) {
    const auto at_query = std::size_t(o * qv.outer + n * qv.inner + h * qv.head + i * qv.row);
    const auto at_key = [&](Index j) { return std::size_t(o * kv.outer + n * kv.inner + h * kv.head + j * kv.row); };
    const auto at = [&](const auto& m, Index j) { return std::size_t(o * m.outer + n * m.inner + h * m.head + i * m.query + j * m.key); };
    std::vector<double> p(std::size_t(c.keys), 0.0);
    double sum = 0, top = -1e300;
    std::vector<std::size_t> seen;
    for (Index j = 0; j < c.keys; ++j) {
      if ((mask.key_lengths && j >= mask.key_lengths[o]) || (mask.seen && !mask.seen[at(mask, j)])) continue;
      double s = in.bias.empty() ? 0 : in.bias[at(bias, j)];
      for (std::size_t d = 0; d < std::size_t(c.head_dim); ++d) s += in.scale * in.q[at_query + d] * in.k[at_key(j) + d];
      p[std::size_t(j)] = s, top = std::max(top, s);
      seen.push_back(std::size_t(j));
    }
    for (const std::size_t j : seen) sum += p[j] = std::exp(p[j] - top);
    r.lse.push_back(seen.empty() ? -INFINITY : top + std::log(sum));
    double delta = 0;
    std::vector<double> dp(p.size());
    for (Index j = 0; j < c.keys; ++j) {
      p[std::size_t(j)] /= sum > 0 ? sum : 1;
      for (std::size_t d = 0; d < std::size_t(c.head_dim); ++d) {
        r.out[at_query + d] += p[std::size_t(j)] * in.v[at_key(j) + d];
        r.dv[at_key(j) + d] += p[std::size_t(j)] * in.g[at_query + d];
        dp[std::size_t(j)] += in.g[at_query + d] * in.v[at_key(j) + d];
      }
      delta += p[std::size_t(j)] * dp[std::size_t(j)];
    }
    for (Index j = 0; j < c.keys; ++j) {
      const double ds = p[std::size_t(j)] * (dp[std::size_t(j)] - delta);
      if (!in.bias.empty()) r.dbias[at(bias, j)] += ds;
      for (std::size_t d = 0; d < std::size_t(c.head_dim); ++d) {
        r.dq[at_query + d] += in.scale * ds * in.k[at_key(j) + d];
        r.dk[at_key(j) + d] += in.scale * ds * in.q[at_query + d];
      }
    }
  }
  return r;
}

template <class T>
std::vector<double> widened(const std::vector<T>& x) {
  std::vector<double> y;
  for (const T& e : x) y.push_back(double(e));
  return y;
}

}  // namespace fg::test
