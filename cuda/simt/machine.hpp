// The definitions of what engine.hpp declares.
#pragma once

#include <cuda/simt/block.hpp>
#include <cuda/simt/copy.hpp>
#include <cuda/simt/run.hpp>
#include <cuda/simt/tensor_core.hpp>
