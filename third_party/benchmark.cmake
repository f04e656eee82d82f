# Google Benchmark → benchmark::benchmark.
find_package(benchmark QUIET)
if(NOT TARGET benchmark::benchmark AND FRAMEGRAD_FETCH)
  include(FetchContent)
  FetchContent_Declare(framegrad_benchmark
    GIT_REPOSITORY https://github.com/google/benchmark.git
    GIT_TAG 344117638c8ff7e239044fd0fa7085839fc03021)  # 1.8.3
  set(BENCHMARK_ENABLE_TESTING OFF CACHE BOOL "" FORCE)
  set(BENCHMARK_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
  FetchContent_MakeAvailable(framegrad_benchmark)
endif()
if(NOT TARGET benchmark::benchmark)
  message(STATUS "framegrad: no bench: Google Benchmark is missing (libbenchmark-dev)")
endif()
