// The file without instrumentation that a build with detectors needs.
#include "cuda/simt/detectors.hpp"
