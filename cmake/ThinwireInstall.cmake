# What `cmake --install build --prefix P` puts where:
#
#   bin/thinwire                    the program; finds LibTorch where the build found it
#   lib/libtw_ROOM.a                a library for each room but app; targets Thinwire::ROOM
#   lib/thinwire/*.so               the CUDA modules, where they were built
#   lib/cmake/Thinwire/             for find_package(Thinwire)
#   include/thinwire/ROOM/          headers, which are included as "ROOM/file.h"
#   share/thinwire/                 configs/, docs/, examples/
#
# Nothing in it refers to the source or the build tree. It serves the machine that it was built on, or one with the same libraries.
set(THINWIRE_INSTALL_CMAKE lib/cmake/Thinwire)
get_property(rooms GLOBAL PROPERTY THINWIRE_ROOMS)
list(REMOVE_ITEM rooms app)

set(libraries thinwire_grpc)
set_target_properties(thinwire_grpc PROPERTIES EXPORT_NAME grpc)
foreach(room ${rooms})
  set_target_properties(tw_${room} PROPERTIES EXPORT_NAME ${room})
  target_compile_features(tw_${room} PUBLIC cxx_std_20)
  list(APPEND libraries tw_${room})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${room} DESTINATION include/thinwire FILES_MATCHING PATTERN "*.h" PATTERN "*-inl.h" EXCLUDE)
endforeach()
if(TARGET tw_exchange_attach)
  set_target_properties(tw_exchange_attach PROPERTIES EXPORT_NAME exchange_attach)
  list(APPEND libraries tw_exchange_attach)
endif()
install(TARGETS ${libraries} EXPORT ThinwireTargets ARCHIVE DESTINATION lib INCLUDES DESTINATION include/thinwire)
install(EXPORT ThinwireTargets NAMESPACE Thinwire:: DESTINATION ${THINWIRE_INSTALL_CMAKE})

foreach(target thinwire thinwire_cuda thinwire_torch_cuda)
  if(TARGET ${target})
    set_target_properties(${target} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
    install(TARGETS ${target} RUNTIME DESTINATION bin LIBRARY DESTINATION lib/thinwire)
  endif()
endforeach()

include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/ThinwireConfig.cmake.in ${PROJECT_BINARY_DIR}/ThinwireConfig.cmake INSTALL_DESTINATION ${THINWIRE_INSTALL_CMAKE})
# Before 1.0 a minor version may change what a header promises.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ThinwireConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ThinwireConfig.cmake ${PROJECT_BINARY_DIR}/ThinwireConfigVersion.cmake cmake/FindThinwireTorch.cmake
        DESTINATION ${THINWIRE_INSTALL_CMAKE})
install(DIRECTORY configs docs examples DESTINATION share/thinwire)
install(FILES README.md LICENSE DESTINATION share/thinwire)
