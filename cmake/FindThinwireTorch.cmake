# LibTorch from a PyPI wheel, without its own CMake package: that one stops where no CUDA toolkit is installed, although
# libtorch_cpu needs none (docs/decisions/002-libtorch.md).
#
# In:  THINWIRE_TORCH_PREFIX  the folder that holds include/ and lib/ (site-packages/torch)
# Out: target ThinwireTorch::cpu, variable THINWIRE_TORCH_VERSION; target ThinwireTorch::cuda where the wheel has a CUDA half: for modules
#      that are loaded after it
set(THINWIRE_TORCH_PREFIX "$ENV{THINWIRE_TORCH_PREFIX}" CACHE PATH "site-packages/torch of a torch wheel")
find_library(THINWIRE_TORCH_CPU_LIBRARY torch_cpu PATHS ${THINWIRE_TORCH_PREFIX}/lib NO_DEFAULT_PATH)
find_library(THINWIRE_C10_LIBRARY c10 PATHS ${THINWIRE_TORCH_PREFIX}/lib NO_DEFAULT_PATH)
find_path(THINWIRE_TORCH_INCLUDE ATen/ATen.h PATHS ${THINWIRE_TORCH_PREFIX}/include NO_DEFAULT_PATH)
set(THINWIRE_TORCH_VERSION "")
if(THINWIRE_TORCH_INCLUDE)
  file(READ ${THINWIRE_TORCH_INCLUDE}/torch/headeronly/version.h version_text)
  foreach(part MAJOR MINOR PATCH)
    string(REGEX MATCH "TORCH_VERSION_${part} ([0-9]+)" _ "${version_text}")
    list(APPEND version_parts ${CMAKE_MATCH_1})
  endforeach()
  list(JOIN version_parts "." THINWIRE_TORCH_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ThinwireTorch
  REQUIRED_VARS THINWIRE_TORCH_CPU_LIBRARY THINWIRE_C10_LIBRARY THINWIRE_TORCH_INCLUDE
  VERSION_VAR THINWIRE_TORCH_VERSION
  REASON_FAILURE_MESSAGE "run ./run build, which installs LibTorch, or set THINWIRE_TORCH_PREFIX to site-packages/torch of a torch wheel")

if(ThinwireTorch_FOUND AND NOT TARGET ThinwireTorch::cpu)
  # The wheel's include folder also carries other versions of libraries that we link from the system (fmt, for one). Only its own headers
  # may be seen.
  set(own_headers ${CMAKE_BINARY_DIR}/torch-headers)
  file(MAKE_DIRECTORY ${own_headers})
  foreach(folder ATen c10 torch)
    file(CREATE_LINK ${THINWIRE_TORCH_INCLUDE}/${folder} ${own_headers}/${folder} SYMBOLIC)
  endforeach()
  add_library(ThinwireTorch::c10 SHARED IMPORTED)
  set_target_properties(ThinwireTorch::c10 PROPERTIES IMPORTED_LOCATION ${THINWIRE_C10_LIBRARY})
  add_library(ThinwireTorch::cpu SHARED IMPORTED)
  set_target_properties(ThinwireTorch::cpu PROPERTIES
    IMPORTED_LOCATION ${THINWIRE_TORCH_CPU_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${own_headers};${THINWIRE_TORCH_INCLUDE}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES ThinwireTorch::c10
    # The wheel's own libraries (libgomp, libcudart) are found through the wheel's rpath, not at our link.
    INTERFACE_LINK_OPTIONS "-Wl,--allow-shlib-undefined")
  if(EXISTS ${THINWIRE_TORCH_PREFIX}/lib/libtorch_cuda.so)
    add_library(ThinwireTorch::cuda SHARED IMPORTED)
    set_target_properties(ThinwireTorch::cuda PROPERTIES
      IMPORTED_LOCATION ${THINWIRE_TORCH_PREFIX}/lib/libtorch_cuda.so
      INTERFACE_LINK_LIBRARIES "ThinwireTorch::cpu;${THINWIRE_TORCH_PREFIX}/lib/libc10_cuda.so")
  endif()
endif()
