// Wires are hardware: what stands for them, and what measures them, must be punctual while ranks compute on every core.
#pragma once

namespace thinwire::netlab {

void take_precedence();  // the calling process, but not what it starts afterwards; as far as it may

}  // namespace thinwire::netlab
