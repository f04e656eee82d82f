// Where a trainer's latents come from: the moving shapes, rendered as they are asked for, or clips that were encoded before.
#pragma once

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/models/trainer.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [B,3,T,H,W] in [−1, 1] → B films.
inline std::vector<Film> films_of(const Tensor<float, 5>& x) {
  const auto [B, C, T, H, W] = x.shape();
  check_shape(C == 3, "films_of", "x is ", x.sizes(), ", 3 channels are needed");
  const Tensor<float, 5> dense(x.is_row_major() ? AnyTensor(x) : row_major_copy(x.detach()));
  std::vector<Film> films;
  for (Index b = 0; b < B; ++b) films.push_back(film_from_planar(dense.data() + b * C * T * H * W, T, H, W));
  return films;
}

namespace detail {

inline void check_still_frames(std::string_view op, Index still_frames, Index frames) {
  check_shape(still_frames > 0 && still_frames <= frames, op, "stills of ", still_frames, " frames, films of ", frames);
}
/// Where in its film still `n` begins.
inline Index still_begin(std::uint64_t seed, std::uint64_t n, Index still_frames, Index frames) {
  constexpr std::uint32_t kFrame = 5;
  return Index(philox_uniform(seed, kFrame, 0, n) * float(frames - still_frames + 1));
}

}  // namespace detail

/// Moving shapes as pixels. Film n is scene n of the training split.
class MovingShapesSource final : public LatentSource {
 public:
  MovingShapesSource(Index frames, Index height, Index width, std::uint64_t seed, const moving_shapes::SceneOptions& scenes = {}, Index still_frames = 1)
      : frames_(frames), height_(height), width_(width), still_frames_(still_frames), seed_(seed), scenes_(scenes) {
    detail::check_still_frames("MovingShapesSource", still_frames, frames);
  }

  LatentBatch films(Index first, Index count) override { return make(0, first, count, frames_); }
  /// From anywhere in its film.
  LatentBatch stills(Index first, Index count) override { return make(1, first, count, still_frames_); }

 private:
  LatentBatch make(std::uint64_t kind, Index first, Index count, Index frames) const {
    LatentBatch batch{empty<float, 5>({count, 3, frames, height_, width_}), std::vector<std::string>(std::size_t(count))};
    const Index each = batch.x0.count() / std::max<Index>(count, 1);
    parallel_for(count, 10e3 * double(frames), [&](Range r) {
      for (Index b = r.begin; b < r.end; ++b) {
        const std::uint64_t n = std::uint64_t(first + b), seed = 2 * seed_ + kind;
        const auto scene = moving_shapes::scene(moving_shapes::Split::train, seed, n, scenes_);
        const Film film = kind == 0 ? moving_shapes::render(scene, frames, height_, width_)
                                    : moving_shapes::render_part(scene, detail::still_begin(seed, n, frames, frames_), frames, frames_, height_, width_);
        film_to_planar(film, batch.x0.data() + b * each);
        batch.captions[std::size_t(b)] = moving_shapes::caption(scene);
      }
    });
    return batch;
  }

  Index frames_, height_, width_, still_frames_;
  std::uint64_t seed_;
  moving_shapes::SceneOptions scenes_;
};

/// Latents held in memory, in an order that is new in each epoch.
class StoredSource final : public LatentSource {
 public:
  /// latents [N,C,T,H,W], one caption each.
  StoredSource(Tensor<float, 5> latents, std::vector<std::string> captions, std::uint64_t seed, Index still_frames = 1)
      : latents_(row_major_copy(latents.detach())), captions_(std::move(captions)), still_frames_(still_frames), seed_(seed) {
    detail::check_still_frames("StoredSource", still_frames, latents.size(2));
    check_shape(latents_.size(0) == Index(captions_.size()) && latents_.size(0) > 0, "StoredSource", latents_.size(0), " latents, ", captions_.size(), " captions");
  }

  LatentBatch films(Index first, Index count) override {
    const auto [N, C, T, H, W] = latents_.shape();
    LatentBatch batch{empty<float, 5>({count, C, T, H, W}), {}};
    for (Index b = 0; b < count; ++b) {
      const Index n = place(first + b);
      copy_into(batch.x0.AnyTensor::select(0, b), latents_.AnyTensor::select(0, n));
      batch.captions.push_back(captions_[std::size_t(n)]);
    }
    return batch;
  }
  LatentBatch stills(Index first, Index count) override {
    const auto [N, C, T, H, W] = latents_.shape();
    LatentBatch batch{empty<float, 5>({count, C, still_frames_, H, W}), {}};
    for (Index b = 0; b < count; ++b) {
      const Index n = place(first + b), t = detail::still_begin(seed_, std::uint64_t(first + b), still_frames_, T);
      copy_into(batch.x0.AnyTensor::select(0, b), latents_.AnyTensor::select(0, n).slice(1, t, t + still_frames_));
      batch.captions.push_back(captions_[std::size_t(n)]);
    }
    return batch;
  }

 private:
  static constexpr std::uint32_t kOrder = 6;

  // Film i of the run: place i mod N of epoch i / N's permutation.
  Index place(Index i) {
    const Index N = latents_.size(0), epoch = i / N;
    if (epoch != epoch_) {
      order_.resize(std::size_t(N));
      for (Index n = 0; n < N; ++n) order_[std::size_t(n)] = n;
      for (Index n = N - 1; n > 0; --n)
        std::swap(order_[std::size_t(n)], order_[std::size_t(Philox(seed_).bits(kOrder, std::uint32_t(epoch), std::uint64_t(n)) % std::uint64_t(n + 1))]);
      epoch_ = epoch;
    }
    return order_[std::size_t(i % N)];
  }

  Tensor<float, 5> latents_;
  std::vector<std::string> captions_;
  Index still_frames_;
  std::uint64_t seed_;
  Index epoch_ = -1;
  std::vector<Index> order_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
