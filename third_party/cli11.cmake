# CLI11 2.1 or later → CLI11::CLI11, which the program `framegrad` parses its command line with.
find_package(CLI11 2.1 QUIET)
if(NOT TARGET CLI11::CLI11 AND FRAMEGRAD_FETCH)
  include(FetchContent)
  FetchContent_Declare(framegrad_cli11
    GIT_REPOSITORY https://github.com/CLIUtils/CLI11.git
    GIT_TAG 6c7b07a878ad834957b98d0f9ce1dbe0cb204fc9  # 2.4.2
    SOURCE_SUBDIR headers_alone)
  FetchContent_MakeAvailable(framegrad_cli11)
  add_library(CLI11::CLI11 INTERFACE IMPORTED GLOBAL)
  target_include_directories(CLI11::CLI11 SYSTEM INTERFACE ${framegrad_cli11_SOURCE_DIR}/include)
endif()
if(NOT TARGET CLI11::CLI11)
  message(STATUS "framegrad: no program: CLI11 is missing (libcli11-dev)")
endif()
