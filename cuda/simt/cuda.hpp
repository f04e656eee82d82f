// The CUDA execution model on the CPU: what a kernel file sees in place of the CUDA headers. It needs no CUDA Toolkit.
//
//   keywords.hpp vector_types.hpp math.hpp atomics.hpp sync.hpp                    the language
//   engine.hpp fiber.hpp block.hpp meeting.hpp run.hpp copy.hpp tensor_core.hpp    the machine
//   memory.hpp                                                                     what a runtime tells it
//   detectors.hpp                                                                  one translation unit of an instrumented build (docs/simt.md)
//
// Translation units that are compiled with -fsanitize=thread have the machine declared only: its own memory accesses must
// not be instrumented, so it is compiled in a file without the flag. With SIMT_HOST_THREADS, for the real ThreadSanitizer, all is instrumented.
#pragma once

#include <cuda/simt/vector_types.hpp>
#include <cuda/simt/engine.hpp>
#include <cuda/simt/sync.hpp>
#include <cuda/simt/atomics.hpp>
#include <cuda/simt/math.hpp>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIMT_INSTRUMENTED
#endif
#elif defined(__SANITIZE_THREAD__)
#define SIMT_INSTRUMENTED
#endif
#if !defined(SIMT_INSTRUMENTED) || defined(SIMT_HOST_THREADS)
#include <cuda/simt/machine.hpp>
#endif
#undef SIMT_INSTRUMENTED

#include <cuda/simt/keywords.hpp>
