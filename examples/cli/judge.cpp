// framegrad judge — how well a model shows what it is asked for.
//
// Moving shapes: how often the films show what held-out prompts ask for, as the judge reads them. Models of clips: how near
// the films of the training captions come to the clips, in PSNR.
#include <framegrad/data/shape_judge.hpp>
#include <framegrad/metrics/psnr.hpp>
#include <framegrad/models/latent_file.hpp>

#include "commands.hpp"
#include "model.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

namespace ms = fg::moving_shapes;

struct Options {
  std::string run, out, device = "cpu";
  Index prompts = 100, batch = 25;
  std::uint64_t seed = 0;
  Index steps = 0;
  double guidance = 0;
};

void print(const char* what, const ms::Rates& r) {
  std::printf("  %-22s %5.1f %% %5.1f %% %5.1f %% %5.1f %% %9.1f %% %9.1f %%\n", what, 100 * r.figure, 100 * r.color, 100 * r.size, 100 * r.motion, 100 * r.three, 100 * r.films);
}

/// Films of moving shapes against what their prompts asked for.
void judge_shapes(const Options& o, const Model& model, const fg::SampleOptions& sample) {
  std::printf("%ld held-out prompts of each kind, seed %lu, %ld steps, guidance %g\n", long(o.prompts), static_cast<unsigned long>(o.seed), long(sample.steps), sample.guidance_scale);
  std::printf("  %-22s  shape   color    size  motion  all three*  whole film\n", "");
  for (const int objects : {1, 2}) {
    const auto asked = ms::prompts(o.prompts, objects, o.seed);
    std::vector<std::string> captions;
    for (const auto& s : asked) captions.push_back(ms::caption(s));
    const auto films = sample_films(model, captions, sample, o.batch);
    std::vector<ms::Verdict> verdicts;
    std::vector<fg::SheetRow> rows;
    for (std::size_t i = 0; i < films.size(); ++i) {
      verdicts.push_back(ms::judge(films[i], asked[i]));
      if (rows.size() < 12) rows.push_back({films[i], fg::text(captions[i], verdicts.back().three() ? "" : "  (judged: no)")});
    }
    print(objects == 1 ? "one object" : "two objects", ms::rates(verdicts));
    print("  chance", ms::chance(asked));
    if (!o.out.empty()) {
      std::filesystem::create_directories(o.out);
      fg::write_contact_sheet(fg::text(o.out, "/judged_", objects, ".png"), rows);
    }
  }
  std::printf("  * shape, color and motion of an object; chance: films of the other prompts\n");
}

/// Films of the training captions against the clips that the model learned from, as the codec gives them back.
void judge_clips(const Options& o, const Model& model, const fg::SampleOptions& sample) {
  fg::LatentFile file = fg::load_latents(model.config().data.path);
  const fg::NoGrad off;
  const auto clips = decode_latents(model.config(), file.latents * (1 / file.scale));
  const auto films = sample_films(model, file.captions, sample, o.batch);
  double own_sum = 0, nearest_sum = 0;
  Index right = 0;
  std::vector<fg::SheetRow> rows;
  for (std::size_t i = 0; i < films.size(); ++i) {
    std::size_t nearest = 0;
    for (std::size_t j = 0; j < clips.size(); ++j)
      if (fg::psnr(films[i], clips[j]) > fg::psnr(films[i], clips[nearest])) nearest = j;
    const double own = fg::psnr(films[i], clips[i]), best = fg::psnr(films[i], clips[nearest]);
    own_sum += own, nearest_sum += best, right += nearest == i;
    std::printf("  %5.1f dB to its clip, %5.1f dB to the nearest (%s)  %s\n", own, best, nearest == i ? "its own" : "another", file.captions[i].c_str());
    rows.push_back({clips[i], "clip: " + file.captions[i]});
    rows.push_back({films[i], "film"});
  }
  const double n = double(films.size());
  std::printf("mean %.1f dB to its clip, %.1f dB to the nearest; the nearest is its own for %ld of %zu\n", own_sum / n, nearest_sum / n, long(right), films.size());
  if (!o.out.empty()) {
    std::filesystem::create_directories(o.out);
    fg::write_contact_sheet(o.out + "/judged_clips.png", rows, {.scale = 1});
  }
}

void run_judge(const Options& o) {
  const auto model = open_model(o.run, fg::cuda::device_named(o.device));
  fg::SampleOptions sample = model->config().sample;
  if (o.steps > 0) sample.steps = o.steps;
  if (o.guidance > 0) sample.guidance_scale = o.guidance;
  sample.seed = o.seed;
  catch_interrupts();
  if (model->config().data.source == "latents") judge_clips(o, *model, sample);
  else judge_shapes(o, *model, sample);
}

}  // namespace

void add_judge(CLI::App& app) {
  auto* c = app.add_subcommand("judge", "how well a model shows what it is asked for: moving shapes read back, clips by PSNR");
  auto o = std::make_shared<Options>();
  c->add_option("--run", o->run, "run folder, or a released model")->required();
  c->add_option("--device", o->device, "cpu, cuda, or cuda:<number>")->capture_default_str();
  c->add_option("--prompts", o->prompts, "prompts of one object, and as many of two")->capture_default_str()->check(CLI::PositiveNumber);
  c->add_option("--seed", o->seed, "seed of prompts and noise")->capture_default_str();
  c->add_option("--steps", o->steps, "sampler steps; 0: the run's")->capture_default_str();
  c->add_option("--guidance", o->guidance, "guidance scale; 0: the run's")->capture_default_str();
  c->add_option("--batch", o->batch, "films at once")->capture_default_str()->check(CLI::PositiveNumber);
  c->add_option("--out", o->out, "folder for contact sheets of the first films");
  c->callback([o] { run_judge(*o); });
}

}  // namespace cli
