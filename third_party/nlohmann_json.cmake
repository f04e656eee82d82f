# nlohmann-json 3.10 or later → nlohmann_json::nlohmann_json: the system's, or with FRAMEGRAD_FETCH pinned sources.
find_package(nlohmann_json 3.10 QUIET)
if(NOT TARGET nlohmann_json::nlohmann_json AND FRAMEGRAD_FETCH)
  include(FetchContent)
  FetchContent_Declare(framegrad_nlohmann_json
    GIT_REPOSITORY https://github.com/nlohmann/json.git
    GIT_TAG 9cca280a4d0ccf0c08f47a99aa71d1b0e52f8d03  # 3.11.3
    SOURCE_SUBDIR headers_alone)
  FetchContent_MakeAvailable(framegrad_nlohmann_json)
  add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED GLOBAL)
  target_include_directories(nlohmann_json::nlohmann_json SYSTEM INTERFACE ${framegrad_nlohmann_json_SOURCE_DIR}/include)
endif()
if(NOT TARGET nlohmann_json::nlohmann_json)
  message(STATUS "framegrad: no safetensors, configs and run folders: nlohmann-json is missing (nlohmann-json3-dev)")
endif()
