// Trainer — steps of training a TextToVideo model: batch, loss, backward, clipping, AdamW, EMA.
//
// All that is random in step n (times, noise, dropped captions, and whether it is a batch of stills) is Philox of (seed, stream, n),
// and the data's position is a count, so a run that is resumed goes on with the same bits.
//
// Stills are films as short as a patch, mostly of one frame: they cost a small share of a film, and teach what things look like. A run
// may begin with stills alone, and keep a share of them.
//
// On a GPU a batch's forward and backward are one recorded function for films and one for stills (nn/recorded.hpp); the gradients' norm and the
// optimizer run beside it. A hook of a gradient would run while recording and never again, so with one, launches are queued one after the other.
#pragma once

#include <algorithm>
#include <chrono>

#include <framegrad/models/text_to_video.hpp>
#include <framegrad/optim/adamw.hpp>
#include <framegrad/optim/clip.hpp>
#include <framegrad/optim/ema.hpp>
#include <framegrad/optim/loss_scaler.hpp>
#include <framegrad/optim/schedule.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct TrainConfig {
  Index steps = 30000;
  LrSchedule lr{LrSchedule::Curve::cosine, 6e-4, 5e-5, 200, 29800};  // moving shapes diverged at 1.5e-3
  AdamWOptions adamw;
  double clip = 0.6;                // global gradient norm; 0: no clipping
  double ema = 0.999;
  Index batch = 16;                 // films a step
  Index still_batch = 256;          // stills a step
  Index stills_first = 2500;        // steps at the start that are stills alone
  double still_share = 0.15;        // of the steps after
  double still_shift = 4;           // of the times of stills, which show less of their content than films at the same noise
  double edges = 4;                 // share of the loss of x₀'s edges (diffusion/rectified_flow.hpp); 0: none, and none of a velocity's
  bool detail_weights = true;       // of x₀'s loss: diffusion/rectified_flow.hpp; a velocity's loss stays as it is
  double caption_dropout = 0.1;
  Index accumulate = 1;             // batches a step
  bool graphs = true;               // on a GPU: a batch's launches recorded once for each kind and queued together
  std::uint64_t seed = 0;
};

/// Films to learn from, already as latents.
struct LatentBatch {
  Tensor<float, 5> x0;              // [B,C,T,H,W]; T is patch_t for stills
  std::vector<std::string> captions;
};

/// Where batches come from. `first` is how many films (or stills) were taken before: the same count gives the same batch.
class LatentSource {
 public:
  virtual ~LatentSource() = default;
  virtual LatentBatch films(Index first, Index count) = 0;
  virtual LatentBatch stills(Index first, Index count) = 0;
};

/// What the gradients of a batch are computed from: a recording has it as inputs.
template <class Scalar>
struct TrainInputs {
  Tensor<float, 5> x0, noise;                 // [B,C,T,H,W]
  Tensor<float, 5> at;                        // [B,1,1,1,1], times
  std::optional<Tensor<float, 1>> weight;     // [B], of the losses
  Tensor<Scalar, 2> time;                     // [B,256], features of the times
  Tensor<Scalar, 4> grid_pos, frame_pos;      // [1,1,S,D], [1,T,1,D]
  Tensor<std::int64_t, 2> ids;                // [B,L]
  Tensor<std::int32_t, 1> lengths;            // [B]
  std::optional<Tensor<Scalar, 4>> keep;      // [B,1,1,1], of the captions
  Tensor<float, 0> seed;                      // what the loss's gradient begins at
};
struct TrainOutputs {
  Tensor<float, 0> loss;
  std::vector<AnyTensor> grads;               // of each trained tensor, in the order of Params::trainable
};

struct TrainReport {
  Index step = 0;                   // steps done
  bool still = false;
  double loss = 0, grad_norm = 0, lr = 0, seconds = 0;
  bool skipped = false;             // the gradient was not finite: the weights stayed as they were
  double loss_scale = 1;            // what the loss's gradient began at
};

template <class Scalar>
class Trainer {
 public:
  Trainer(TextToVideo<Scalar>& model, LatentSource& source, const TrainConfig& c)
      : model_(model), source_(source), config_(c), optimizer_(model.params(), c.adamw), ema_(model.params(), {.decay = c.ema}),
        gradients_([this](const TrainInputs<Scalar>& in) { return gradients(in); }, model.params(), c.graphs) {
    check<ConfigError>(c.batch > 0 && c.still_batch > 0 && c.accumulate > 0 && c.steps > 0, "train", "batch ", c.batch, ", still_batch ", c.still_batch, ", accumulate ",
                       c.accumulate, ", steps ", c.steps, ": each must be positive");
    check<ConfigError>(c.still_share >= 0 && c.still_share <= 1 && c.caption_dropout >= 0 && c.caption_dropout <= 1, "train", "still_share ", c.still_share,
                       ", caption_dropout ", c.caption_dropout, ": each must be in [0, 1]");
  }

  const TrainConfig& config() const { return config_; }
  Index steps_done() const { return step_; }
  Index films_seen() const { return films_; }
  Index stills_seen() const { return stills_; }
  AdamW& optimizer() { return optimizer_; }
  Ema& ema() { return ema_; }
  /// What keeps gradients inside half's range; none for other types, whose range is float's.
  std::optional<LossScaler>& loss_scaler() { return loss_scaler_; }
  /// Why batches are not recorded although they should be; empty if they are.
  std::string why_no_graphs() const {
    if (!wants_graphs()) return {};
    if (const std::string* name = hooked()) return text("the gradient of ", *name, " has a hook, which a recording would call once and never again");
    return gradients_.why_not();
  }
  /// Sets the counts that a run is resumed from.
  void resume_at(Index step, Index films, Index stills) { step_ = step, films_ = films, stills_ = stills; }

  TrainReport step() {
    const auto begin = std::chrono::steady_clock::now();
    TrainReport r;
    r.still = step_ < config_.stills_first || philox_uniform(config_.seed, kKind, std::uint32_t(step_), 0) < float(config_.still_share);
    model_.params().zero_grad();
    for (Index i = 0; i < config_.accumulate; ++i) r.loss += backward_of_batch(r.still, i) / double(config_.accumulate);

    if (loss_scaler_) r.loss_scale = loss_scaler_->scale();
    const double times = r.loss_scale * double(config_.accumulate);  // that gradients are too large by
    r.grad_norm = grad_norm(model_.params()) / times;
    r.lr = config_.lr(step_);
    r.skipped = loss_scaler_ ? !loss_scaler_->update(r.grad_norm) : !std::isfinite(r.grad_norm);
    if (!r.skipped) {
      optimizer_.step(r.lr, (config_.clip > 0 ? clip_factor(r.grad_norm, config_.clip) : 1.0) / times);
      ema_.update(&optimizer_);
    }
    r.step = ++step_;
    r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return r;
  }

  /// Loss on given latents at given times and noise, recorded: what a step differentiates. Public for forecasts and tests.
  FlowLoss<float> loss(const LatentBatch& batch, const std::vector<double>& t, const Tensor<float, 5>& noise, const std::vector<char>& dropped = {}) const {
    return loss(on_device(inputs(batch, t, noise, dropped), model_.params().device()));
  }

 private:
  // Streams of Philox: what the numbers are for.
  enum : std::uint32_t { kKind = 1, kTime = 2, kNoise = 3, kDrop = 4 };

  double backward_of_batch(bool still, Index part) {
    const Index B = still ? config_.still_batch : config_.batch;
    Index& seen = still ? stills_ : films_;
    const LatentBatch batch = still ? source_.stills(seen, B) : source_.films(seen, B);
    seen += B;
    const auto step = std::uint32_t(step_);
    const std::uint64_t first = std::uint64_t(part) << 40;  // each batch of an accumulated step has its own numbers
    const double shift = still ? config_.still_shift : model_.config().shift;
    std::vector<double> t(static_cast<std::size_t>(B));
    std::vector<char> dropped(static_cast<std::size_t>(B));
    for (Index b = 0; b < B; ++b) {
      t[std::size_t(b)] = shifted_time(philox_uniform(config_.seed, kTime, step, first + std::uint64_t(b)), shift);
      dropped[std::size_t(b)] = philox_uniform(config_.seed, kDrop, step, first + std::uint64_t(b)) < float(config_.caption_dropout);
    }
    const auto noise = Tensor<float, 5>(AnyTensor::empty(Dtype::f32, batch.x0.sizes()));
    parallel_for(noise.count(), 8.0, [&](Range r) {
      philox_fill_normal(config_.seed, kNoise, step, noise.data() + r.begin, r.size(), first + std::uint64_t(r.begin));
    }, 64);
    const auto in = inputs(batch, t, noise, dropped);
    if (wants_graphs() && !hooked()) return add_recorded(in);
    const auto there = on_device(in, model_.params().device());
    const auto l = loss(there);
    backward(l.total, there.seed);
    return l.total.item();
  }

  TrainInputs<Scalar> inputs(const LatentBatch& batch, const std::vector<double>& t, const Tensor<float, 5>& noise, const std::vector<char>& dropped) const {
    const auto times = flow_times<float, 5>(t, objective());
    const auto told = model_.video().conditions(batch.x0.sizes(), flow_timesteps(t));
    const auto words = model_.text_inputs(batch.captions, dropped);
    const auto seed = scalar(loss_scaler_ ? float(loss_scaler_->scale()) : 1.0f);
    return {batch.x0, noise, times.at, times.weight, told.time, told.grid_pos, told.frame_pos, words.ids, words.lengths, words.keep, seed};
  }
  FlowLoss<float> loss(const TrainInputs<Scalar>& in) const {
    const auto text = model_.condition({in.ids, in.lengths, in.keep});
    const auto network = [&](const Tensor<float, 5>& x) { return model_(x, {in.time, in.grid_pos, in.frame_pos, {}}, text); };
    return flow_loss_at(network, in.x0, {in.at, in.weight}, in.noise, objective());
  }
  FlowObjective objective() const {
    FlowObjective o{model_.config().prediction};
    if (o.prediction == FlowPrediction::velocity) return o;
    o.edges = config_.edges;
    if (config_.detail_weights) o.weight = detail_weight;
    return o;
  }

  /// What is recorded. The parameters' own gradients are none when it ends.
  TrainOutputs gradients(const TrainInputs<Scalar>& in) const {
    model_.params().zero_grad();
    const auto l = loss(in);
    backward(l.total, in.seed);
    TrainOutputs out{l.total.detach(), {}};
    for (const auto& s : model_.params().trainable()) {
      out.grads.push_back(grad(s->value));
      fg::zero_grad(s->value);
    }
    return out;
  }
  bool wants_graphs() const { return config_.graphs && model_.params().device().kind == Device::Kind::cuda; }
  /// The name of a trained tensor whose gradient has a hook; null if none has.
  const std::string* hooked() const {
    for (const auto& s : model_.params().trainable())
      if (static_cast<Leaf&>(*s->value.node()).hook) return &s->name;
    return nullptr;
  }
  double add_recorded(const TrainInputs<Scalar>& in) {
    const auto all = model_.params().trainable();
    std::vector<AnyTensor> sums;  // of the step's batches before this one
    for (const auto& s : all) sums.push_back(std::exchange(static_cast<Leaf&>(*s->value.node()).grad, {}));
    const TrainOutputs out = gradients_(in);
    for (std::size_t i = 0; i < all.size(); ++i) {
      AnyTensor& sum = static_cast<Leaf&>(*all[i]->value.node()).grad = sums[i];
      const AnyTensor& g = out.grads[i];
      if (!g.defined()) continue;
      if (sum.defined()) {
        copy_into(sum, g, true);
      } else if (config_.accumulate == 1) {
        sum = g;
      } else {  // the next batch writes to g again
        sum = AnyTensor::empty(g.dtype(), g.sizes(), g.strides(), g.device());
        copy_into(sum, g);
      }
    }
    return out.loss.item();
  }

  TextToVideo<Scalar>& model_;
  LatentSource& source_;
  TrainConfig config_;
  AdamW optimizer_;
  Ema ema_;
  Recorded<TrainInputs<Scalar>, TrainOutputs> gradients_;
  std::optional<LossScaler> loss_scaler_ = std::is_same_v<Scalar, half> ? std::optional<LossScaler>(std::in_place) : std::nullopt;
  Index step_ = 0, films_ = 0, stills_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI
