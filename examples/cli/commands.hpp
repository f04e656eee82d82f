// The subcommands of `framegrad`. Each adds itself to the program, one file a command.
#pragma once

#include <CLI/CLI.hpp>

namespace cli {

void add_train(CLI::App& app);
void add_sample(CLI::App& app);
void add_export(CLI::App& app);
void add_encode(CLI::App& app);
void add_decode(CLI::App& app);
void add_judge(CLI::App& app);
void add_inspect(CLI::App& app);
void add_devices(CLI::App& app);
void add_bench(CLI::App& app);

}  // namespace cli
