#include "compressors/codec.h"

#include "compressors/device_codec.h"

namespace thinwire::compressors {

std::unique_ptr<DeviceCodec> Codec::on_device() const { return nullptr; }

}  // namespace thinwire::compressors
