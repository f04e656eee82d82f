# GoogleTest → GTest::gtest and GTest::gtest_main.
find_package(GTest QUIET)
if(NOT TARGET GTest::gtest_main AND FRAMEGRAD_FETCH)
  include(FetchContent)
  FetchContent_Declare(framegrad_gtest
    GIT_REPOSITORY https://github.com/google/googletest.git
    GIT_TAG f8d7d77c06936315286eb55f8de22cd23c188571)  # 1.14.0
  set(INSTALL_GTEST OFF CACHE BOOL "" FORCE)
  set(BUILD_GMOCK OFF CACHE BOOL "" FORCE)
  FetchContent_MakeAvailable(framegrad_gtest)
endif()
if(NOT TARGET GTest::gtest_main)
  message(STATUS "framegrad: no tests: GoogleTest is missing (libgtest-dev)")
endif()
