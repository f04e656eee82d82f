// framegrad encode — captioned videos to a file of latents, once, before training; framegrad decode — back to films.
#include <filesystem>

#if __has_include(<libavformat/avformat.h>)
#include <framegrad/data/video_folder.hpp>
#include <framegrad/io/video_write.hpp>
#endif
#include <framegrad/data/captions.hpp>
#include <framegrad/io/npy.hpp>
#include <framegrad/models/latent_file.hpp>
#include <framegrad/models/taef2.hpp>

#include "commands.hpp"
#include "model.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

struct EncodeOptions {
  std::string videos, npy, captions, out, codec = "taef2";
  Index frames = 16, height = 64, width = 64, interval = 0;
};

struct Captioned {
  fg::Film film;
  std::string caption;
};

/// Where clips come from: how many there may be, and clip i, or nothing (and the reason is told) if it can't be had.
struct Clips {
  Index count = 0;
  std::function<std::optional<Captioned>(Index)> at;
};

/// A film [T,H,W,3] in the frames and the size that are asked for: the largest part with these proportions.
fg::Film fitted(const fg::Film& from, const EncodeOptions& o) {
  fg::check<fg::FileError>(from.frames >= o.frames, "encode", "a clip has ", from.frames, " frames, --frames asks for ", o.frames);
  const auto chosen = fg::spaced_frames({0, from.frames}, o.frames);
  const fg::Box box = fg::largest_box(from.height, from.width, o.height, o.width);
  std::vector<std::uint8_t> part(std::size_t(box.height * box.width * 3));
  fg::Film to = fg::Film::filled(o.frames, o.height, o.width);
  for (Index t = 0; t < o.frames; ++t) {
    fg::crop(from.frame(chosen[std::size_t(t)]), from.height, from.width, box, part.data(), 3);
    fg::resize(part.data(), box.height, box.width, to.frame(t), o.height, o.width, 3, fg::Resize::area);
  }
  return to;
}

Clips clips_of_npy(const EncodeOptions& o) {
  const fg::AnyTensor all = fg::load_npy(o.npy);
  fg::check<fg::FileError>(all.rank() == 5 && all.dtype() == fg::Dtype::u8 && all.size(4) == 3, "encode", o.npy, " is ", all.dtype(), " ", all.sizes(), ", uint8 [N, T, H, W, 3] is needed");
  fg::check<fg::ConfigError>(!o.captions.empty(), "encode", "--npy needs --captions");
  const auto rows = fg::read_captions(o.captions);
  fg::check<fg::FileError>(Index(rows.size()) == all.size(0), "encode", o.npy, " has ", all.size(0), " clips, ", o.captions, " has ", rows.size(), " rows");
  return {all.size(0), [=](Index i) -> std::optional<Captioned> {
            const fg::AnyTensor clip = fg::row_major_copy(all.select(0, i));
            fg::Film film{clip.size(0), clip.size(1), clip.size(2), {}};
            film.rgb.assign(static_cast<const std::uint8_t*>(clip.raw()), static_cast<const std::uint8_t*>(clip.raw()) + clip.bytes());
            return Captioned{fitted(film, o), rows[std::size_t(i)].caption};
          }};
}

Clips clips_of_videos([[maybe_unused]] const EncodeOptions& o) {
#if __has_include(<libavformat/avformat.h>)
  const auto report = [](const fg::CaptionRow& row, const std::string& reason) { std::fprintf(stderr, "\nskipped: line %ld, %s\n", long(row.line), reason.empty() ? row.path.c_str() : reason.c_str()); };
  const fg::ClipOptions options{.frames = o.frames, .interval = o.interval, .height = o.height, .width = o.width, .shuffle = false};
  const auto root = std::filesystem::path(o.captions).parent_path().string();
  const auto folder = o.captions.empty() ? std::make_shared<fg::VideoFolder>(o.videos, options, report)
                                         : std::make_shared<fg::VideoFolder>(o.videos.empty() ? root : o.videos, fg::read_captions(o.captions), options, report);
  return {folder->size(), [folder](Index i) -> std::optional<Captioned> {
            auto clip = folder->at(0, i);
            if (!clip) return std::nullopt;
            return Captioned{std::move(clip->film), std::move(clip->caption)};
          }};
#else
  throw fg::ConfigError("encode: this build reads no videos: FFmpeg is missing (Debian: libavformat-dev libavcodec-dev libswscale-dev); --npy works");
#endif
}

/// Films to latents [1,C,T,H,W] of a codec.
std::function<fg::Tensor<float, 5>(const fg::Film&)> encoder_of(const EncodeOptions& o) {
  const auto planar = [](const fg::Film& f) {
    auto x = fg::empty<float, 5>({1, 3, f.frames, f.height, f.width});
    fg::film_to_planar<float>(f, x.data());
    return x;
  };
  if (o.codec == "pixels") return planar;
  fg::check<fg::ConfigError>(o.codec == "taef2", "encode", "--codec is \"", o.codec, "\"; there are taef2 and pixels");
  const fg::Params params;
  const auto encoder = std::make_shared<fg::Taef2Encoder<float>>(params);
  fg::load_params(params, assets_folder() + "/taef2_encoder.safetensors");
  return [=](const fg::Film& f) { return encoder->encode((planar(f) + 1.0) * 0.5); };
}

/// Deviation of all values about their mean.
double deviation(const fg::Tensor<float, 5>& x) {
  double sum = 0, squares = 0;
  for (Index i = 0; i < x.count(); ++i) sum += double(x.data()[i]);
  const double mean = sum / double(x.count());
  for (Index i = 0; i < x.count(); ++i) squares += (double(x.data()[i]) - mean) * (double(x.data()[i]) - mean);
  return std::sqrt(squares / double(x.count()));
}

void run_encode(const EncodeOptions& o) {
  fg::check<fg::ConfigError>(o.npy.empty() || o.videos.empty(), "encode", "--videos and --npy exclude each other");
  fg::check<fg::ConfigError>(!o.npy.empty() || !o.videos.empty() || !o.captions.empty(), "encode", "nothing to read: give --videos or --npy");
  fg::check<fg::ConfigError>(o.npy.empty() || o.interval == 0, "encode", "--interval is for videos: an npy file has its frames");
  const fg::NoGrad off;
  const Clips clips = o.npy.empty() ? clips_of_videos(o) : clips_of_npy(o);
  const auto encode = encoder_of(o);

  catch_interrupts();
  fg::LatentFile file;
  file.codec = o.codec;
  std::vector<fg::Tensor<float, 5>> latents;
  Progress progress(10);
  const double begin = now_s();
  for (Index i = 0; i < clips.count && !interrupted; ++i) {
    const auto clip = clips.at(i);
    if (!clip) continue;
    latents.push_back(encode(clip->film));
    file.captions.push_back(clip->caption);
    if (progress.due()) progress.show(fg::text("encoding: ", i + 1, " of ", clips.count, ", ", duration((now_s() - begin) / double(i + 1) * double(clips.count - i - 1)), " left"));
  }
  progress.end();
  fg::check<fg::FileError>(!interrupted, "encode", "stopped; nothing was written");
  fg::check<fg::FileError>(!latents.empty(), "encode", "not one of ", clips.count, " clips could be read");
  file.latents = fg::cat(latents, 0);
  file.scale = o.codec == "pixels" ? 1 : deviation(file.latents);
  fg::check<fg::FileError>(file.scale > 0 && std::isfinite(file.scale), "encode", "the latents' deviation is ", file.scale);
  fg::save_latents(o.out, file);
  std::printf("%zu clips (%ld skipped) in %s as %s latents %s, deviation %.4g: %s, %s\n", file.captions.size(), long(clips.count - Index(file.captions.size())), o.out.c_str(), o.codec.c_str(),
              fg::text(file.latents.sizes()).c_str(), file.scale, size_text(double(file.latents.bytes())).c_str(), duration(now_s() - begin).c_str());
}

struct DecodeOptions {
  std::string latents, out = "films";
  Index first = 0, count = 0, scale = 0;
  double fps = 8;
};

void run_decode(const DecodeOptions& o) {
  const auto file = fg::load_latents(o.latents);
  const Index N = file.latents.size(0), last = o.count > 0 ? std::min(N, o.first + o.count) : N;
  fg::check<fg::ConfigError>(o.first < N, "decode", "--first is ", o.first, ", the file has ", N, " clips");
  std::error_code error;
  std::filesystem::create_directories(o.out, error);
  fg::check<fg::FileError>(!error, "decode", o.out, ": ", error.message());
  fg::RunConfig config;  // of a model whose latents are the file's
  config.data.codec = file.codec;
  config.model.latent_scale = 1;

  catch_interrupts();
  const fg::NoGrad off;
  std::vector<fg::SheetRow> rows;
  Progress progress(10);
  const double begin = now_s();
  Index done = 0;
  for (Index i = o.first; i < last && !interrupted; ++i) {
    const fg::Film film = decode_latents(config, fg::Tensor<float, 5>(fg::slice(file.latents, 0, i, i + 1)))[0];
    const std::string& caption = file.captions[std::size_t(i)];
    const fg::Film large = fg::enlarged(film, o.scale > 0 ? o.scale : std::max<Index>(1, 256 / film.height));
    char number[24];
    std::snprintf(number, sizeof number, "%04ld_", long(i));
    const std::string stem = o.out + "/" + number + file_stem(caption);
    fg::write_gif(stem + ".gif", large, o.fps);
#if __has_include(<libavformat/avformat.h>)
    fg::write_mp4(stem + ".mp4", large, o.fps);
#endif
    if (rows.size() < 32) rows.push_back({film, caption});
    ++done;
    if (progress.due()) progress.show(fg::text("decoding: ", done, " of ", last - o.first, ", ", duration((now_s() - begin) / double(done) * double(last - i - 1)), " left"));
  }
  progress.end();
  fg::check<fg::FileError>(!rows.empty(), "decode", "stopped; nothing was written");
  fg::write_contact_sheet(o.out + "/sheet.png", rows, {.scale = std::max<Index>(1, 128 / rows[0].film.height)});
  std::printf("%ld films in %s, the first %zu on %s/sheet.png (%s)\n", long(done), o.out.c_str(), rows.size(), o.out.c_str(), duration(now_s() - begin).c_str());
}

}  // namespace

void add_encode(CLI::App& app) {
  auto* c = app.add_subcommand("encode", "captioned videos to a file of latents for training");
  auto o = std::make_shared<EncodeOptions>();
  c->add_option("--videos", o->videos, "folder with captions.tsv, .csv or .jsonl, or the list itself; paths in it are relative to it");
  c->add_option("--captions", o->captions, "caption list, if it lies elsewhere; needed with --npy");
  c->add_option("--npy", o->npy, "clips in an array instead: uint8 [N, T, H, W, 3], a row of --captions for each");
  c->add_option("--out", o->out, "safetensors file to write")->required();
  c->add_option("--codec", o->codec, "taef2: 32 channels at 1/8 of height and width; pixels: as they are")->capture_default_str();
  c->add_option("--frames", o->frames, "frames of a clip")->capture_default_str()->check(CLI::PositiveNumber);
  c->add_option("--height", o->height, "pixels")->capture_default_str()->check(CLI::PositiveNumber);
  c->add_option("--width", o->width, "pixels")->capture_default_str()->check(CLI::PositiveNumber);
  c->add_option("--interval", o->interval, "frames from one to the next; 0: spread over the part that the list names")->capture_default_str()->check(CLI::NonNegativeNumber);
  c->footer("Videos that can't be read are named and passed over.");
  c->callback([o] { run_encode(*o); });
}

void add_decode(CLI::App& app) {
  auto* c = app.add_subcommand("decode", "a file of latents to films and a contact sheet");
  auto o = std::make_shared<DecodeOptions>();
  c->add_option("--latents", o->latents, "safetensors file made by encode")->required();
  c->add_option("--out", o->out, "folder for the films")->capture_default_str();
  c->add_option("--first", o->first, "first clip")->capture_default_str()->check(CLI::NonNegativeNumber);
  c->add_option("--count", o->count, "clips; 0: all")->capture_default_str()->check(CLI::NonNegativeNumber);
  c->add_option("--scale", o->scale, "pixels for each pixel; 0: about 256 a side")->capture_default_str()->check(CLI::NonNegativeNumber);
  c->add_option("--fps", o->fps, "frames a second")->capture_default_str()->check(CLI::Range(0.01, 1000.0));
  c->callback([o] { run_decode(*o); });
}

}  // namespace cli
