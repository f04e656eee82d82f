// framegrad sample — prompts to films; framegrad export — a run to the two files that sampling needs.
#include <fstream>

#include <framegrad/io/png.hpp>

#if __has_include(<libavformat/avformat.h>)
#include <framegrad/io/video_write.hpp>
#endif

#include "commands.hpp"
#include "model.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

struct Options {
  std::string run, out = "films", prompt_file, device = "cpu", graphs = "on";
  std::vector<std::string> prompts;
  fg::SampleOptions sample;
  Index scale = 0, batch = 16;
  double fps = 0;
#if __has_include(<libavformat/avformat.h>)
  std::vector<std::string> formats = {"gif", "mp4"};
#else
  std::vector<std::string> formats = {"gif"};
#endif
};

void write_film(const std::string& stem, const fg::Film& film, double fps, const std::string& format) {
  if (format == "gif") return fg::write_gif(stem + ".gif", film, fps);
  if (format == "png") {
    std::filesystem::create_directories(stem);
    for (Index t = 0; t < film.frames; ++t) fg::write_png(fg::text(stem, "/", t < 10 ? "000" : t < 100 ? "00" : t < 1000 ? "0" : "", t, ".png"), film, t);
    return;
  }
#if __has_include(<libavformat/avformat.h>)
  if (format == "mp4") return fg::write_mp4(stem + ".mp4", film, fps);
  if (format == "webp") return fg::write_webp(stem + ".webp", film, fps);
#else
  fg::check<fg::ConfigError>(format != "mp4" && format != "webp", "sample", format, " needs FFmpeg: build with libavcodec-dev, libavformat-dev and libswscale-dev installed");
#endif
  throw fg::ConfigError("sample: format \"" + format + "\"; there are gif, png, mp4 and webp");
}

void run_sample(const Options& o, const Model& model) {
  std::vector<std::string> prompts = o.prompts;
  if (!o.prompt_file.empty()) {
    std::ifstream f(o.prompt_file);
    fg::check<fg::FileError>(f.good(), "sample", "can't read ", o.prompt_file);
    for (std::string line; std::getline(f, line);)
      if (!line.empty()) prompts.push_back(line);
  }
  fg::check<fg::ConfigError>(!prompts.empty(), "sample", "no prompt: give one with --prompt");
  std::filesystem::create_directories(o.out);
  catch_interrupts();
  const double begin = now_s();
  const auto films = sample_films(model, prompts, o.sample, o.batch);
  std::vector<fg::SheetRow> rows;
  for (std::size_t i = 0; i < films.size(); ++i) {
    const fg::Film large = fg::enlarged(films[i], o.scale > 0 ? o.scale : std::max<Index>(1, 256 / films[i].height));
    for (const auto& format : o.formats)
      write_film(fg::text(o.out, "/", i < 9 ? "0" : "", i + 1, "_", file_stem(prompts[i])), large, o.fps > 0 ? o.fps : model.config().fps, format);
    rows.push_back({films[i], prompts[i]});
  }
  fg::write_contact_sheet(o.out + "/sheet.png", rows);
  std::printf("%zu films in %s, all of them on %s/sheet.png (%s)\n", films.size(), o.out.c_str(), o.out.c_str(), duration(now_s() - begin).c_str());
}

}  // namespace

void add_sample(CLI::App& app) {
  auto* c = app.add_subcommand("sample", "films from prompts, and a contact sheet");
  auto o = std::make_shared<Options>();
  c->add_option("--run", o->run, "run folder, or a released model")->required();
  c->add_option("--prompt", o->prompts, "what to show; may be given several times");
  c->add_option("--prompts", o->prompt_file, "file with a prompt on each line");
  c->add_option("--out", o->out, "folder for the films")->capture_default_str();
  c->add_option("--steps", o->sample.steps, "sampler steps [default: the run's]");
  c->add_option("--guidance", o->sample.guidance_scale, "guidance scale; 1: none [default: the run's]");
  c->add_option("--seed", o->sample.seed, "seed of the noise [default: the run's]");
  c->add_option("--device", o->device, "cpu, cuda, or cuda:<number>")->capture_default_str();
  c->add_option("--graphs", o->graphs, "on a GPU: on records the network's launches once and queues them together; off queues one after the other")->capture_default_str()->check(CLI::IsMember({"on", "off"}));
  c->add_option("--batch", o->batch, "films at once")->capture_default_str()->check(CLI::PositiveNumber);
  c->add_option("--scale", o->scale, "pixels for each pixel; 0: about 256 a side")->capture_default_str();
  c->add_option("--formats", o->formats, "gif, png (a folder of frames), mp4, webp")->delimiter(',')->capture_default_str();
  c->add_option("--fps", o->fps, "frames a second; 0: the run's")->capture_default_str();
  c->callback([c, o] {
    const auto model = open_model(o->run, fg::cuda::device_named(o->device));
    const fg::SampleOptions given = o->sample;
    o->sample = model->config().sample;
    if (c->count("--steps")) o->sample.steps = given.steps;
    if (c->count("--guidance")) o->sample.guidance_scale = given.guidance_scale;
    if (c->count("--seed")) o->sample.seed = given.seed;
    o->sample.graphs = o->graphs == "on";
    run_sample(*o, *model);
  });
}

void add_export(CLI::App& app) {
  auto* c = app.add_subcommand("export", "the averaged weights of a run as a released model: config.json and model.safetensors");
  auto paths = std::make_shared<std::pair<std::string, std::string>>();
  c->add_option("--run", paths->first, "run folder")->required();
  c->add_option("--out", paths->second, "folder to write")->required();
  c->callback([paths] {
    const auto model = open_model(paths->first);
    model->export_to(paths->second);
    std::printf("step %ld written to %s\n", long(model->step()), paths->second.c_str());
  });
}

}  // namespace cli
