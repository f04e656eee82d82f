// The sampler inside an application: a prompt becomes a film, with progress, a way to cancel, and no printing of the library's own.
//
//   example_06_sampler [prompt] [model folder]
#include <framegrad/framegrad.hpp>
#include <framegrad/io/contact_sheet.hpp>
#include <framegrad/io/gif.hpp>
#include <framegrad/models/latent_sources.hpp>
#include <framegrad/models/text_to_video_run.hpp>

#include <cstdio>

using namespace fg;

int main(int argc, char** argv) {
  const std::string prompt = argc > 1 ? argv[1] : "a large red circle moves left";
  const std::string folder = argc > 2 ? argv[2] : FRAMEGRAD_SOURCE_DIR "/assets/moving_shapes";
  try {
    const auto run = load_run<bf16>(folder);

    SampleOptions options = run.config.sample;
    options.seed = 3;
    SamplerHooks<float, 5> hooks;
    hooks.progress = [](Index done, Index steps) { std::fprintf(stderr, "\r%ld of %ld steps", long(done), long(steps)); };
    hooks.cancel = [] { return false; };  // an application asks its stop button here; the sampler then throws Cancelled

    const Tensor<float, 5> pixels = run.model->sample({prompt}, options, hooks);  // [1,3,T,H,W] in [−1, 1]
    std::fputc('\n', stderr);
    const Film film = films_of(pixels)[0];
    write_gif("film.gif", enlarged(film, 8), run.config.fps);
    std::printf("%ld frames of %ldx%ld in film.gif\n", long(film.frames), long(film.width), long(film.height));
  } catch (const Error& e) {  // an unknown word names the words there are; a missing file is named
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
