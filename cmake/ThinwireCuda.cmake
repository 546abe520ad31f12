# The CUDA module (base/cuda/module.h): built where a CUDA toolkit is found, loaded where a GPU is. Nothing else links CUDA.
#
#   thinwire_cuda_sources(SOURCES kernels.cu ...)   adds a room's files to it; does nothing without a toolkit
#   thinwire_beside_cuda(PROGRAM...)                puts programs where they look for it
#
# Out: THINWIRE_HAS_CUDA
set(THINWIRE_CUDA AUTO CACHE STRING "The CUDA module: AUTO (where a CUDA 13 toolkit is found), ON, OFF")
set_property(CACHE THINWIRE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(THINWIRE_HAS_CUDA OFF)
# Sanitizers and fuzzers instrument the host's code, and the mocks of the runtime need no module.
if(NOT THINWIRE_CUDA STREQUAL "OFF" AND NOT THINWIRE_SANITIZE AND NOT THINWIRE_FUZZ)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(THINWIRE_HAS_CUDA ON)
  elseif(THINWIRE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "THINWIRE_CUDA is ON, but no nvcc is found: install a CUDA 13 toolkit, put its bin folder on PATH, or set CUDACXX")
  endif()
endif()

if(THINWIRE_HAS_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)  # Ampere and Hopper; later ones run sm_90's PTX
  endif()
  enable_language(CUDA)
  # After enable_language, whose own trial is content with less; the flag, because CMake 3.25 does not know that nvcc has C++20.
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  find_package(CUDAToolkit REQUIRED)
  add_library(thinwire_cuda MODULE)
  set_target_properties(thinwire_cuda PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    CUDA_RUNTIME_LIBRARY Shared
    CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden
    POSITION_INDEPENDENT_CODE ON)
  target_include_directories(thinwire_cuda PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(thinwire_cuda PRIVATE CUDA::cudart PkgConfig::xxhash fmt::fmt)
  target_link_options(thinwire_cuda PRIVATE -Wl,-z,defs)  # what is missing is missed here, not on the machine with the GPU
  # As for the host (CMakeLists.txt): no contraction, so that kernels give the reference's bits. Relaxed constexpr: kernels call the
  # reference's own constexpr functions.
  target_compile_options(thinwire_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --expt-relaxed-constexpr -lineinfo>)
endif()

function(thinwire_cuda_sources)
  cmake_parse_arguments(PART "" "" "SOURCES" ${ARGN})
  if(THINWIRE_HAS_CUDA)
    list(TRANSFORM PART_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    target_sources(thinwire_cuda PRIVATE ${PART_SOURCES})
  endif()
endfunction()

function(thinwire_beside_cuda)
  set_target_properties(${ARGN} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  if(THINWIRE_HAS_CUDA)
    foreach(program ${ARGN})
      add_dependencies(${program} thinwire_cuda)
      if(TARGET thinwire_torch_cuda)
        add_dependencies(${program} thinwire_torch_cuda)
      endif()
    endforeach()
  endif()
endfunction()
