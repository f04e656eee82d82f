// The CUDA execution model on the CPU: what a kernel file sees in place of the CUDA headers. It needs no CUDA Toolkit.
//
//   keywords.hpp vector_types.hpp math.hpp atomics.hpp sync.hpp    the language
//   fiber.hpp engine.hpp block.hpp run.hpp copy.hpp                the machine
//   detectors.hpp                                                  one translation unit of an instrumented build (docs/simt.md)
//
// Translation units that are compiled with -fsanitize=thread have the machine declared only: its own memory accesses must
// not be instrumented, so it is compiled in a file without the flag.
#pragma once

#include <cuda/simt/vector_types.hpp>
#include <cuda/simt/engine.hpp>
#include <cuda/simt/sync.hpp>
#include <cuda/simt/atomics.hpp>
#include <cuda/simt/math.hpp>

#if !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if !__has_feature(thread_sanitizer)
#include <cuda/simt/machine.hpp>
#endif
#else
#include <cuda/simt/machine.hpp>
#endif
#endif

#include <cuda/simt/keywords.hpp>
