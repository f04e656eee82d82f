// Models in bf16.
#include "model_of.hpp"

template std::unique_ptr<cli::Model> cli::open_model_as<fg::bf16>(const std::string&, fg::Device);
template cli::Forecast cli::forecast_as<fg::bf16>(const fg::RunConfig&);
template void cli::train_as<fg::bf16>(const TrainJob&);
