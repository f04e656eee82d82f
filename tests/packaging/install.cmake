# Installs components of BUILD into PREFIX: the headers into an empty one, libraries beside them. (The program would have to be built first, and is no
# part of these tests.)
if(COMPONENT STREQUAL "headers")
  file(REMOVE_RECURSE ${PREFIX})
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} --component ${COMPONENT} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "the installation failed")
endif()
