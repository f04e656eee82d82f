# cmake --install: headers, models beside them as <framegrad/models/…>, the files that find_package(framegrad) reads, and of the libraries of
# kernels what has been built (ninja framegrad_cuda, ninja framegrad_simt). Components: headers, cuda, simt.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/framegrad)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/framegrad DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT headers
  FILES_MATCHING PATTERN *.hpp PATTERN models EXCLUDE)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/framegrad/models COMPONENT headers FILES_MATCHING PATTERN *.hpp)

install(TARGETS framegrad framegrad_models framegrad_io EXPORT framegradTargets)
install(EXPORT framegradTargets NAMESPACE framegrad:: DESTINATION ${package_dir} COMPONENT headers)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/framegradConfig.cmake.in ${PROJECT_BINARY_DIR}/framegradConfig.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/framegradConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/framegradConfig.cmake ${PROJECT_BINARY_DIR}/framegradConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/ffmpeg.cmake DESTINATION ${package_dir} COMPONENT headers)
foreach(kernels cuda simt)
  if(TARGET framegrad_${kernels})
    install(FILES $<TARGET_FILE:framegrad_${kernels}> DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${kernels} OPTIONAL)
  endif()
endforeach()
if(TARGET framegrad_cli)
  install(TARGETS framegrad_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
