// framegrad — trains and samples text-to-video models, and looks into their files.
#include <cstdio>
#include <exception>

#include <framegrad/core/error.hpp>
#include <framegrad/core/parallel.hpp>

#include "commands.hpp"

int main(int argc, char** argv) {
  CLI::App app{"framegrad trains and samples text-to-video models, and looks into their files.\nEach command has its own --help."};
  app.set_version_flag("--version", fg::kVersion);
  app.require_subcommand(1);
  app.fallthrough();  // --threads may stand after the command too
  app.get_formatter()->column_width(34);
  int threads = 0;
  app.add_option("--threads", threads, "threads to compute with; 0: one per processor")->capture_default_str();
  app.parse_complete_callback([&] {
    if (threads > 0) fg::set_threads(threads);
  });
  cli::add_train(app);
  cli::add_sample(app);
  cli::add_judge(app);
  cli::add_export(app);
  cli::add_encode(app);
  cli::add_decode(app);
  cli::add_inspect(app);
  cli::add_devices(app);
  cli::add_bench(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "framegrad: %s\n", e.what());
    return 1;
  }
}
