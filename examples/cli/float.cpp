// Models in float.
#include "model_of.hpp"

template std::unique_ptr<cli::Model> cli::open_model_as<float>(const std::string&, fg::Device);
template cli::Forecast cli::forecast_as<float>(const fg::RunConfig&);
template void cli::train_as<float>(const TrainJob&);
