// RandomState — where a thread is in the random numbers of training: Philox's seed, the step, and the number of draws so far.
//
// Each op that draws (dropout) takes a draw of its own, so a step's numbers depend on the seed, the step and the order of the calls alone.
// checkpoint notes the state before a function and sets it again for the replay.
#pragma once

#include <framegrad/core/backend.hpp>
#include <framegrad/core/philox.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct RandomState {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t draws = 0;

  /// This thread's.
  static RandomState& instance() {
    static thread_local RandomState s;
    return s;
  }
  /// At the start of a training step.
  void begin_step(std::uint64_t new_seed, std::uint32_t new_step) { seed = new_seed, step = new_step, draws = 0; }
};

/// What one call draws from: stream and step of Philox(seed).
struct RandomDraw {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0, step = 0;
};

/// The next draw of this thread. Its streams are the upper half; noise and initial values take streams of the lower.
inline RandomDraw next_draw() {
  if constexpr (kWithCuda) cuda::refuse_while_recording("a draw of random numbers");
  RandomState& s = RandomState::instance();
  return {s.seed, 0x80000000u | s.draws++, s.step};
}

/// Goes back to a state, and on destruction to the one before.
class ReplayRandom {
 public:
  explicit ReplayRandom(const RandomState& at) : before_(RandomState::instance()) { RandomState::instance() = at; }
  ~ReplayRandom() { RandomState::instance() = before_; }
  ReplayRandom(const ReplayRandom&) = delete;
  ReplayRandom& operator=(const ReplayRandom&) = delete;

 private:
  RandomState before_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
