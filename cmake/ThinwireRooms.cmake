# One target per room. DEPS are the rooms whose headers it may include: the graph of targets is the graph of doors, and
# tools/include_check refuses any include that is not in it.
#
#   thinwire_room(comm SOURCES wire.cc ... DEPS base LIBS MPI::MPI_CXX)
function(thinwire_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(tw_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(tw_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)  # installed: cmake/ThinwireInstall.cmake
  list(TRANSFORM ROOM_DEPS PREPEND tw_)
  target_link_libraries(tw_${name} PUBLIC ${ROOM_DEPS} ${ROOM_LIBS})
  set_property(GLOBAL APPEND PROPERTY THINWIRE_ROOMS ${name})
endfunction()

# The room has Highway kernels, in files called [*_]kernels.cc: compiled for the baseline, AVX2 and AVX-512, and chosen at run time; each further
# target costs seconds of every build. Each file by itself, because Highway includes it once per target.
function(thinwire_kernels name)
  target_compile_definitions(tw_${name} PRIVATE "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL)")
  get_target_property(sources tw_${name} SOURCES)
  list(FILTER sources INCLUDE REGEX "kernels\\.cc$")
  set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# One executable of GoogleTest cases; each case is a ctest. In a sanitizer's tree a quarter of the cases is: such a process takes longer to
# start than most cases to run.
#
#   thinwire_test(comm_test SOURCES a_test.cc ... ROOMS comm [TIMEOUT 60])
function(thinwire_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;ROOMS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  add_executable(${name} ${TEST_SOURCES})
  list(TRANSFORM TEST_ROOMS PREPEND tw_)
  target_link_libraries(${name} PRIVATE ${TEST_ROOMS} GTest::gtest GTest::gmock GTest::gtest_main)
  # Tests are compiled more often than they are run; what they test keeps the tree's optimisation.
  if(THINWIRE_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)
  elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${name} PRIVATE -O1)
  endif()
  target_compile_definitions(${name} PRIVATE THINWIRE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" THINWIRE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(THINWIRE_SANITIZE)
    foreach(shard RANGE 3)
      add_test(NAME ${name}.${shard} COMMAND ${name})
      set_tests_properties(${name}.${shard} PROPERTIES TIMEOUT 900 ENVIRONMENT "GTEST_TOTAL_SHARDS=4;GTEST_SHARD_INDEX=${shard}")
    endforeach()
  else()
    include(GoogleTest)
    gtest_discover_tests(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
