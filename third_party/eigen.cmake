# Eigen 3.4 → Eigen3::Eigen: the system's, or with FRAMEGRAD_FETCH pinned sources.
find_package(Eigen3 3.4 QUIET NO_MODULE)
if(NOT TARGET Eigen3::Eigen AND FRAMEGRAD_FETCH)
  include(FetchContent)
  FetchContent_Declare(framegrad_eigen
    GIT_REPOSITORY https://gitlab.com/libeigen/eigen.git
    GIT_TAG 3147391d946bb4b6c68edd901f2add6ac1f31f8c  # 3.4.0
    SOURCE_SUBDIR headers_alone)
  FetchContent_MakeAvailable(framegrad_eigen)
  add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
  target_include_directories(Eigen3::Eigen SYSTEM INTERFACE ${framegrad_eigen_SOURCE_DIR})
endif()
if(NOT TARGET Eigen3::Eigen)
  message(STATUS "framegrad: no Eigen (libeigen3-dev): the compile-time test is left out")
endif()
