// The definitions of what engine.hpp declares.
#pragma once

#ifdef SIMT_HOST_THREADS
#include <cuda/simt/host_threads.hpp>
#else
#include <cuda/simt/block.hpp>
#include <cuda/simt/run.hpp>
#endif
#include <cuda/simt/copy.hpp>
#include <cuda/simt/tensor_core.hpp>
