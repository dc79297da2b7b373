# For plugins, in Mortise's tree and outside it.

# mortise_add_plugin(NAME [OUTPUT dir] [LIBRARIES l1 …]): the current folder as a plugin that the host can load. OUTPUT (default:
# plugins/NAME in the build folder) gets NAME.so, built from the folder's *.c and *.cc, and copies of its manifest, contract, queries,
# migrations and policies. NAME is the slug. Without C files there is no .so.
function(mortise_add_plugin name)
  cmake_parse_arguments(P "" "OUTPUT" "LIBRARIES" ${ARGN})
  set(source ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT P_OUTPUT)
    set(P_OUTPUT ${CMAKE_BINARY_DIR}/plugins/${name})
  endif()
  file(GLOB parts CONFIGURE_DEPENDS RELATIVE ${source} ${source}/plugin.json ${source}/api.json ${source}/queries.sql
       ${source}/sql/*.sql ${source}/policies/*.lua)
  set(copies)
  foreach(part ${parts})
    add_custom_command(OUTPUT ${P_OUTPUT}/${part} COMMAND ${CMAKE_COMMAND} -E copy ${source}/${part} ${P_OUTPUT}/${part}
                       DEPENDS ${source}/${part} VERBATIM)
    list(APPEND copies ${P_OUTPUT}/${part})
  endforeach()
  add_custom_target(${name}_files ALL DEPENDS ${copies})
  file(GLOB sources CONFIGURE_DEPENDS ${source}/*.c ${source}/*.cc)
  if(sources)
    add_library(${name} MODULE ${sources})
    set_target_properties(${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${P_OUTPUT}
      C_STANDARD 17 C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
    target_link_libraries(${name} PRIVATE Mortise::sdk ${P_LIBRARIES})
    add_dependencies(${name} ${name}_files)
  endif()
endfunction()

# mortise_add_plugin_test(NAME FILE… [LIBRARIES l1 …]): a cmocka program of the plugin's own sources, these files and the fake host.
# MORTISE_PLUGIN_DIR is the plugin's folder.
function(mortise_add_plugin_test name)
  cmake_parse_arguments(T "" "" "LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(${name}_test ${sources} ${T_UNPARSED_ARGUMENTS})
  set_target_properties(${name}_test PROPERTIES C_STANDARD 17)
  target_compile_definitions(${name}_test PRIVATE MORTISE_PLUGIN_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  target_include_directories(${name}_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name}_test PRIVATE Mortise::testkit ${T_LIBRARIES} cmocka)
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 60)
endfunction()
