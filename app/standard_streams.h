// Standard input, output and error of this process, as whoever started it left them.
#pragma once

namespace thinwire::app {

// To be called first thing in main. Where one of them is closed (`>&-`) the next file that is opened would take its number, and what is
// printed would be written into that file; so something else takes it first, to which, as to a closed one, nothing can be written.
void occupy_closed_streams();

// For verbs whose product is what they print: Error(other) unless all of it was written.
void check_standard_output();

}  // namespace thinwire::app
