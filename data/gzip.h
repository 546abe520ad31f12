// gzip (RFC 1952) by zlib: all members of a file, one after the other, each verified by its own checksum.
#pragma once
#include "data/file.h"

namespace thinwire::data {

// DataError naming the byte of the packed file where it is corrupt, or where it ends too early.
void add_unpacked(InputFile& file, Pile& pile);

}  // namespace thinwire::data
